# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Has each of so many servers one client for each word, which says that and does not leave:
# talk FIRST-PORT SERVERS reads|waits WORD...
# Those that wait take nothing of what the server says.

first=$1 servers=$2 how=$3
shift 3

client() { # word, port
	{
		printf %s "$1"
		sleep 100
	} | nc 127.0.0.1 "$2"
}

for word; do
	for port in $(seq "$first" $((first + servers - 1))); do
		# shellcheck disable=SC2216 # It takes nothing.
		case $how in
		reads) client "$word" "$port" >/dev/null & ;;
		waits) client "$word" "$port" | sleep 100 & ;;
		esac
	done
done
wait
