# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Ends all clients, and unloads those of the modules that are loaded, in their order: clear MODULE...

killall -9 nc yes wget sleep crowd 2>/dev/null
for module; do
	[ ! -d "/sys/module/$module" ] || unload "$module" || exit
done
