# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Loads modules and unloads them, again and again: loads ROUNDS MODULE...
# A module may have parameters, as in 'kecho port=7'; the last one is unloaded first.

rounds=$1
shift
for _ in $(seq "$rounds"); do
	loaded=
	for module; do
		name=${module%% *}
		# shellcheck disable=SC2086 # Its parameters are words.
		insmod "/modules/$name.ko" ${module#"$name"} || exit
		loaded="$name $loaded"
	done
	for name in $loaded; do
		rmmod "$name" || exit
	done
done
