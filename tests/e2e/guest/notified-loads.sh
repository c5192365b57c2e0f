# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Loads and unloads the module notified, until /tmp/on is removed.

touch /tmp/on
while [ -e /tmp/on ]; do
	insmod /modules/notified.ko && rmmod notified || exit
done
