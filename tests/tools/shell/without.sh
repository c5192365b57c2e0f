#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs a command where a program is missing: without PLACE COMMAND...
# To be run in a mount namespace of its own. The program's folder is another one then, with links to all the
# others.

set -e
place=$1
shift
folder=$(dirname "$place")
mount -t tmpfs tmpfs /mnt
mkdir /mnt/all /mnt/most
mount --bind "$folder" /mnt/all
ln -s /mnt/all/* /mnt/most
rm "/mnt/most/$(basename "$place")"
mount --bind /mnt/most "$folder"
exec "$@"
