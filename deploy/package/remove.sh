#!/bin/sh
# Before the files are removed (prerm, %preun): dpkg calls it with remove or upgrade, rpm with how many versions will be left.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now epitaph.service || true
	fi
	# One that somebody started by hand on the same data: its lock says which process it is.
	lock=/var/lib/epitaph/data/kvConfig.json.lock
	pid=$(sed -n 's/^process \([0-9][0-9]*\),.*/\1/p' "$lock" 2>/dev/null || true)
	case $(readlink "/proc/${pid:-none}/exe" 2>/dev/null || true) in
	/usr/bin/epitaph*)
		kill "$pid" || true
		flock -w 60 "$lock" true || true
		;;
	esac
	rm -rf /var/lib/epitaph/previous
	;;
esac
