# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Names what is left of a perverse module: perverse-left MODULE FIRST-PORT EXECUTOR...
# Servers, its threads and those of its servers, who listens on the port of each executor.

module=$1 port=$2
shift 2
ls /sys/kernel/debug/ktcp_server
for name in "$module" other "$@"; do
	grep -hs "^$name/" /proc/[0-9]*/comm
done
for _; do
	netstat -ltn | grep ":$port "
	port=$((port + 1))
done
true
