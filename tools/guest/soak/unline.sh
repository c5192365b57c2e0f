# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Deletes the network namespace `far` with its line, and waits until the line has gone.

/usr/bin/ip netns del far || exit 1
for _ in $(seq 150); do
	[ -e /sys/class/net/near ] || exit 0
	sleep 0.1
done
exit 2
