# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Loads kecho so often, has some clients answered, and unloads it: answered-loads ROUNDS

for _ in $(seq "$1"); do
	insmod /modules/kecho.ko || exit 1
	crowd ask --clients 8 --seconds 60 | grep -q '^complete 8$' || exit 2
	rmmod kecho || exit 3
done
