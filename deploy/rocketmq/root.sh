#!/bin/sh
# root.sh ROOT BUSYBOX EPITAPH: lays out ROOT as RocketMQ's image is laid out, with a NameServer that is epitaph. BUSYBOX is a static one
# that runs here. The scripts stand beside this one; mqnamesrv.sh is that of "epitaph install-compat".
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$1 busybox=$2 epitaph=$3
bin=$root/home/rocketmq/rocketmq/bin

mkdir -p "$root/bin" "$root/usr/bin" "$root/usr/local/bin" "$root/etc" "$root/tmp" "$root/root/logs" "$bin" "$root/home/rocketmq/rocketmq/conf" \
	"$root/home/rocketmq/logs" "$root/home/rocketmq/store" "$root/home/rocketmq/namesrv" "$root/opt/logs" "$root/opt/store" "$root/sbom"
chmod 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do
	[ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"
done
# Env stands where scripts look for it, too.
"$busybox" rm -f "$root/bin/sh" "$root/bin/nc"
for name in sh bash; do cp "$here/shell.sh" "$root/bin/$name"; done
cp "$here/nc.sh" "$root/bin/nc"
chmod 755 "$root/bin/sh" "$root/bin/bash" "$root/bin/nc"
ln -sf /bin/env "$root/usr/bin/env"
printf 'root:x:0:0::/root:/bin/sh\nrocketmq:x:3000:3000::/home/rocketmq:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nrocketmq:x:3000:\n' >"$root/etc/group"

cp "$epitaph" "$root/usr/local/bin/epitaph"
sed "s|@EPITAPH@|/usr/local/bin/epitaph|" "$here/mqnamesrv.sh" >"$bin/mqnamesrv"
cp "$here/docker-entrypoint.sh" "$here/mqshutdown" "$bin/"
for name in mqbroker mqproxy mqcontroller mqadmin; do cp "$here/absent.sh" "$bin/$name"; done
chmod 755 "$bin"/*
# The path has the original's version in it, and mounts and start lines name that.
while read -r version; do
	ln -s rocketmq "$root/home/rocketmq/rocketmq-$version"
	ln -s /home/rocketmq/rocketmq "$root/opt/rocketmq-$version"
done <"$here/versions"
chown -R 3000:3000 "$root/home/rocketmq" "$root/opt"
