# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Has kmemleak look for what has leaked, and prints that.
# Twice: of what has changed since it looked last it says nothing, and so of what is new to it. Only when
# it looks again it counts how long something is there, so all may grow old meanwhile: what was allocated
# in the last five seconds it leaves alone.

file=/sys/kernel/debug/kmemleak
sleep 6 &
echo scan >$file && wait && echo scan >$file && cat $file
