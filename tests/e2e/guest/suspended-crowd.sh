# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Starts clients, and suspends them for half of the time, with whatever connections they have then:
# suspended-crowd SECONDS

{
	crowd storm --clients 10 --seed 2 --bytes 60000 --seconds "$1" >/tmp/second &
	while kill -STOP $!; do
		sleep 0.7
		kill -CONT $! || break
		sleep 0.7
	done
} >/dev/null 2>&1 &
