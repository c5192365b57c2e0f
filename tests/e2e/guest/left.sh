# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Names what is left of a server: left SERVER PORT, the port in four hexadecimal digits
# Its threads, its module, who listens on the port: state 0A in /proc/net/tcp and tcp6.

grep -hs "^$1" /proc/[0-9]*/comm
[ ! -d "/sys/module/$1" ] || echo module
grep -h ":$2 [0:]* 0A " /proc/net/tcp* || [ $? = 1 ]
