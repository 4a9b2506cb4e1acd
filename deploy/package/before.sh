#!/bin/sh
# Before the files are unpacked (preinst, %pre): dpkg calls it with install or upgrade, rpm with how many versions there will be.
set -e
case "$1" in
upgrade | 2)
	# The program that serves now, for the way back: the new one may refuse the present settings. Root's own, so that the service's
	# user cannot put another one there.
	if [ -e /usr/bin/epitaph ]; then
		mkdir -p /var/lib/epitaph/previous
		cp -p /usr/bin/epitaph /var/lib/epitaph/previous/epitaph.new
		mv -f /var/lib/epitaph/previous/epitaph.new /var/lib/epitaph/previous/epitaph
	fi
	;;
esac
