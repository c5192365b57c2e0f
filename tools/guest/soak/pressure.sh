# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Leaves so many kilobytes of memory available, for so many seconds: pressure KILOBYTES SECONDS

mkdir -p /pressure
mount -t tmpfs -o size=100% tmpfs /pressure || exit 1
available=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
blocks=$(((available - $1) / 1024))
[ "$blocks" -le 0 ] || dd if=/dev/zero of=/pressure/file bs=1M count=$blocks 2>/dev/null
sleep "$2"
umount /pressure
