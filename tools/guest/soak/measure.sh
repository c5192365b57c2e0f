# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Prints what may have grown, KEY VALUE for each, when everything has ended. Sockets in TIME-WAIT are
# closed first: they last a minute, and are the kernel's own.

/usr/bin/ss -K state time-wait >/dev/null 2>&1
/usr/bin/ss -K state fin-wait-2 >/dev/null 2>&1
# Lists of free pages of each CPU, which count as in use, are cut by the next refreshes of vmstat.
echo 100000 >/proc/sys/vm/percpu_pagelist_high_fraction
# What RCU and work items free is freed.
sleep 3
sync
echo 3 >/proc/sys/vm/drop_caches
for cache in /sys/kernel/slab/*/shrink; do
	echo 1 >"$cache"
done 2>/dev/null
sleep 2

awk '
	{ value[$1] = $2 }
	END {
		print "memory_kb", value["MemTotal:"] - value["MemAvailable:"]
		print "slab_kb", value["Slab:"]
		print "sunreclaim_kb", value["SUnreclaim:"]
		print "percpu_kb", value["Percpu:"]
		print "stacks_kb", value["KernelStack:"]
		print "anonymous_kb", value["AnonPages:"]
		print "shared_kb", value["Shmem:"]
		print "vmalloc_kb", value["VmallocUsed:"]
	}' /proc/meminfo
awk '$1 ~ /^(TCP|TCPv6|request_sock_TCP|tw_sock_TCP|sock_inode_cache|net_namespace)$/ { print "slab_" $1, $2 }' \
	/proc/slabinfo
awk '
	$1 == "sockets:" { print "sockets", $3 }
	$1 == "TCP:" { print "tcp_inuse", $3; print "tcp_orphans", $5; print "tcp_tw", $7; print "tcp_pages", $11 }
	' /proc/net/sockstat
# Those of the kernel's work queues come and go.
echo tasks "$(cat /proc/[0-9]*/task/[0-9]*/comm 2>/dev/null | grep -vc '^kworker/')"
for module in ktcp_server kecho khttpd chat; do
	echo "refcount_$module $(cat /sys/module/$module/refcnt 2>/dev/null || echo 0)"
done
echo 0 >/proc/sys/vm/percpu_pagelist_high_fraction
