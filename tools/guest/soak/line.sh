# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Makes the network namespace `far`, with a line to it: 10.9.0.1 is here, 10.9.0.2 is there.

set -e
# Not that of busybox
ip=/usr/bin/ip
mkdir -p /var/run/netns
$ip netns add far
$ip link add near type veth peer name beyond netns far
$ip addr add 10.9.0.1/24 dev near
$ip link set near up
$ip -n far link set lo up
$ip -n far addr add 10.9.0.2/24 dev beyond
$ip -n far link set beyond up
