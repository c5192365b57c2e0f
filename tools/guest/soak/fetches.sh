# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Fetches a file from khttpd, and compares it, until /tmp/over is there: fetches URL FILE
# Prints how many were complete, cut off (as when the server goes meanwhile), and wrong; a file that is
# cut off is wrong if it is not the beginning of the right one.

url=$1 file=$2
complete=0 cut_off=0 corrupt=0 compared=0
while [ ! -e /tmp/over ]; do
	rm -f /tmp/fetched
	wget -q -T 20 -O /tmp/fetched "$url" 2>/dev/null
	status=$?
	size=$(stat -c %s /tmp/fetched 2>/dev/null || echo 0)
	compared=$((compared + size))
	if [ "$status" = 0 ] && cmp -s /tmp/fetched "$file"; then
		complete=$((complete + 1))
	elif [ "$status" != 0 ] && { [ "$size" = 0 ] || cmp -s -n "$size" /tmp/fetched "$file"; }; then
		cut_off=$((cut_off + 1))
		sleep 0.1
	else
		corrupt=$((corrupt + 1))
	fi
done
rm -f /tmp/fetched
echo "connections $((complete + corrupt))"
echo "complete $complete"
echo "cut_off $cut_off"
echo "corrupt $corrupt"
echo "compared $compared"
