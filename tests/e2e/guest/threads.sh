# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Prints each thread of a server, and on which CPUs it may run: threads SERVER

for task in /proc/[0-9]*; do
	grep -qs "^$1/" "$task/comm" || continue
	echo "$(cat "$task/comm") $(grep Cpus_allowed_list "$task/status")"
done
