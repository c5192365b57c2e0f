# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Loads the module proving where so many threads more can be made: scarce-threads EXECUTOR SPARE
# The exit status is that of insmod.

limit=/proc/sys/kernel/threads-max
executor=$1 spare=$2
usual=$(cat $limit)
rm -f /tmp/go && mkfifo /tmp/go
# What becomes insmod is there before the limit holds, and while it does the shell needs no program.
(read -r _ && exec insmod /modules/proving.ko executor="$executor" idle_ms=10000) </tmp/go &
exec 9>/tmp/go
set -- /proc/[0-9]*/task/[0-9]*
echo $(($# + spare)) >$limit
echo go >&9
wait $!
status=$?
echo "$usual" >$limit
exit $status
