#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs a command whose cache is on a small disk, and prints what it has left half-done:
# small-disk FOLDER COMMAND...
# To be run in a mount namespace of its own.

folder=$1
shift
mount -t tmpfs -o size=64m tmpfs "$folder" || exit
KTCP_CACHE=$folder/c "$@"
status=$?
find "$folder" -name '*.tmp'
exit $status
