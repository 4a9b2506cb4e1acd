#!/bin/sh
# After the files are removed (postrm): dpkg calls it with remove, and with purge when data and settings are to go, too.
set -e
case "$1" in
remove | purge | 0)
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload || true
	fi
	;;
esac
case "$1" in
purge)
	lock=/var/lib/epitaph/data/kvConfig.json.lock
	if [ -e "$lock" ] && ! flock -n "$lock" true; then
		echo "epitaph: its data is left in /var/lib/epitaph, for a node still uses it: $(cat "$lock")." >&2
		echo "epitaph: stop that, and then: rm -r /var/lib/epitaph" >&2
		exit 0
	fi
	rm -rf /var/lib/epitaph /run/epitaph
	;;
esac
