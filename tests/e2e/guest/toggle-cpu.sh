# shellcheck shell=busybox disable=SC3028
# SPDX-License-Identifier: GPL-2.0
#
# Takes the second CPU off and on, until /tmp/toggling is removed; the CPU is on in the end.

online=/sys/devices/system/cpu/cpu1/online
touch /tmp/toggling
while [ -e /tmp/toggling ]; do
	echo 0 >$online
	usleep $((RANDOM % 60000))
	echo 1 >$online
	usleep $((RANDOM % 60000))
done
