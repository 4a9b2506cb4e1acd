#!/bin/sh
# After the files are unpacked (postinst, %post): dpkg calls it with configure and the version before, if there was one, rpm with
# how many versions there are. It starts and restarts nothing: an upgrade of all nodes at once would empty all tables at once.
set -e
case "$1" in
configure | 1 | 2) ;;
*) exit 0 ;;
esac

if ! getent passwd epitaph >/dev/null; then
	getent group epitaph >/dev/null || groupadd --system epitaph
	useradd --system --gid epitaph --home-dir /var/lib/epitaph/data --no-create-home --shell /usr/sbin/nologin epitaph
fi
mkdir -p /var/lib/epitaph/data
chown epitaph:epitaph /var/lib/epitaph/data
chmod 0750 /var/lib/epitaph/data
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi

# check lets the new program judge the present settings, as the unit's user and with the unit's variables. The file is read as
# systemd reads it, but for lines that a backslash continues: it is no shell script.
check() {
	set -- EPITAPH_DATA=/var/lib/epitaph/data EPITAPH_SOCKET=/run/epitaph/epitaph.sock
	if [ -r /etc/epitaph/epitaph.env ]; then
		while IFS= read -r line || [ -n "$line" ]; do
			line=$(printf '%s' "$line" | sed 's/^[[:space:]]*//; s/[[:space:]]*$//')
			case $line in
			[\#\;]* | '') continue ;;
			*=*) ;;
			*) continue ;;
			esac
			value=$(printf '%s' "${line#*=}" | sed "s/^[[:space:]]*//; s/^\"\(.*\)\"\$/\1/; s/^'\(.*\)'\$/\1/")
			set -- "$@" "$(printf '%s' "${line%%=*}" | sed 's/[[:space:]]*$//')=$value"
		done </etc/epitaph/epitaph.env
	fi
	cd /
	runuser -u epitaph -- env -i PATH="$PATH" "$@" /usr/bin/epitaph serve --check 2>&1
}

if [ ! -e /var/lib/epitaph/previous/epitaph ]; then # none was there before
	echo "epitaph is installed and not started. Settings: /etc/epitaph/epitaph.env. Start it, now and at every boot:"
	echo "    systemctl enable --now epitaph"
	exit 0
fi
if reason=$(check); then
	echo "epitaph is upgraded. A node that runs is untouched. One node after the other, the new version takes over with:"
	echo "    epitaph safe-to-stop --wait 5m && systemctl restart epitaph && until epitaph health; do sleep 1; done"
else
	echo "epitaph is upgraded, but the new version REFUSES the present settings, and would not start:"
	printf '%s\n' "$reason" | sed 's/^/    /'
	echo "A node that runs is untouched. Mend /etc/epitaph/epitaph.env before it is restarted, or go back to the former version:"
	echo "    install -m 755 /var/lib/epitaph/previous/epitaph /usr/bin/epitaph"
fi
exit 0
