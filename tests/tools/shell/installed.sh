#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs a command where no module is installed, and prints what is in the end: installed RELEASE COMMAND...
# To be run in a mount namespace of its own. With RELEASE, that kernel is there.

release=$1
shift
mkdir -p /lib/modules /usr/src
mount -t tmpfs tmpfs /lib/modules
mount -t tmpfs tmpfs /usr/src
if [ -n "$release" ]; then
	mkdir "/lib/modules/$release"
	for name in order builtin builtin.modinfo; do
		: >"/lib/modules/$release/modules.$name"
	done
fi
"$@"
status=$?
cd /lib/modules || exit
find . -name '*.ko'
cat ./*/modules.dep 2>/dev/null
exit $status
