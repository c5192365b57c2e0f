# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Has crowds of clients come one after the other until /tmp/over is there: clients SEED ADDRESS
# Each prints what it has counted. One that is refused at once, as while no server is loaded, is no
# failure; one that ends with status 1 has received wrong bytes, which it counts itself.

seed=$1 addr=$2
while [ ! -e /tmp/over ]; do
	seed=$((seed + 1))
	for command in \
		"transfer --clients 5 --bytes 200000" \
		"ask --clients 30 --bytes 3000" \
		"talk --clients 10 --bytes 700 --for 1" \
		"part --clients 3 --bytes 60000 --for 1"; do
		[ ! -e /tmp/over ] || break
		# shellcheck disable=SC2086 # They are words.
		crowd $command --addr "$addr" --seed "$seed" --seconds 20 --until /tmp/over 2>/dev/null ||
			sleep 0.2
	done
done
exit 0
