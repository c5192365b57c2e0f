# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Makes a network namespace, and a line from here to there, which goes with it: line NAMESPACE
# 10.9.0.1 and fd09::1 are here, 10.9.0.2 and fd09::2 are there.

set -e
# Not that of busybox
ip=/usr/bin/ip
namespace=$1

there() { $ip netns exec "$namespace" $ip "$@"; }

mkdir -p /var/run/netns
$ip netns add "$namespace"
$ip link add near type veth peer name beyond
$ip link set beyond netns "$namespace"
$ip addr add 10.9.0.1/24 dev near
$ip -6 addr add fd09::1/64 dev near nodad
$ip link set near up
there link set lo up
there addr add 10.9.0.2/24 dev beyond
there -6 addr add fd09::2/64 dev beyond nodad
there link set beyond up
