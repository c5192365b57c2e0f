# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Makes network namespaces, has chat loaded and unloaded in each, and deletes them; every
# second one is deleted before the server in it ends: namespaces COUNT

ip=/usr/bin/ip
mkdir -p /var/run/netns
for number in $(seq "$1"); do
	$ip netns add brief || exit 1
	$ip -n brief link set lo up || exit 2
	$ip netns exec brief insmod /modules/chat.ko || exit 3
	[ $((number % 2)) = 0 ] || $ip netns del brief || exit 4
	rmmod chat || exit 5
	[ $((number % 2)) = 1 ] || $ip netns del brief || exit 6
done
