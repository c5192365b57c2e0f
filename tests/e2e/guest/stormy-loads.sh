# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Loads and unloads the module proving, with other settings each time: stormy-loads ROUNDS
# The port is free at once: no insmod is tried twice. The order of executors is no matter.

for i in $(seq "$1"); do
	case $((i % 4)) in
	0) by=event_loop ;;
	1) by=workqueue ;;
	2) by=kthread ;;
	*) by="event_loop may_sleep=n" ;;
	esac
	# shellcheck disable=SC2086 # The last one is two words.
	insmod /modules/proving.ko executor=$by output=$((1 + i * 977 % 60000)) \
		drain_ms=$((i % 4 * 50)) || exit 1
	usleep $((i % 7 * 30000))
	rmmod proving || exit 2
done
