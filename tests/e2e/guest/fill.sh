# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Makes a file of so many megabytes of a line, of pieces, for yes is slow: fill FILE LINE MEGABYTES

set -e
yes "$2" | head -c 1000000 >"$1.piece"
yes "$1.piece" | head -n "$3" | xargs cat >"$1"
rm "$1.piece"
