# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Sends random bytes to the echo server, and compares what comes back: echoed PORT BYTES

sent=/tmp/sent.$$ received=/tmp/received.$$
head -c "$2" /dev/urandom >$sent
nc 127.0.0.1 "$1" <$sent >$received
cmp $sent $received
status=$?
rm $sent $received
exit $status
