# shellcheck shell=busybox
# SPDX-License-Identifier: GPL-2.0
#
# Serves on port 7000: the answer comes when a module is loaded.

cat >/tmp/answer <<'END'
#!/bin/sh
sleep 1
insmod /modules/items.ko program=waits
echo done
END
chmod +x /tmp/answer
exec nc -ll -p 7000 -e /tmp/answer
