# SPDX-License-Identifier: GPL-2.0
# Prints the table of `make help` from the comments of the Makefile:
#   #@ a heading        target: … ## what it does        #= VARIABLE: what it means
/^#@ / { print ""; print substr($0, 4) }
/^[a-z][a-z0-9-]*:.*## / {
	name = $0; sub(/:.*/, "", name)
	text = $0; sub(/.*## /, "", text)
	row(name, text)
}
/^#= / {
	name = $0; sub(/^#= /, "", name); sub(/:.*/, "", name)
	text = $0; sub(/^[^:]*: /, "", text); sub(/@CACHE@/, cache, text)
	row(name "=", text)
}
function row(name, text) { printf "  %-15s %s\n", name, text }
