#!/bin/sh
# Stands in for RocketMQ's mqshutdown: "namesrv" stops the NameServers of this installation, epitaph's and Java's, and all
# else is left to the original, mqshutdown.rocketmq.
# Made by "epitaph install-compat", undone by "epitaph install-compat --undo".
here=$0
while [ -h "$here" ]; do
  link=$(readlink "$here")
  case $link in
    /*) here=$link ;;
    *) here=$(dirname "$here")/$link ;;
  esac
done
bin=$(cd "$(dirname "$here")" && pwd -P)

if [ "$1" != namesrv ]; then
  exec sh "$bin/mqshutdown.rocketmq" "$@"
fi

# Only a process counts whose command line names this installation: those of others, on the same host, stay.
home=$(cd "${ROCKETMQ_HOME:-$bin/..}" && pwd -P)
pids=$(ps ax | grep -i '[o]rg.apache.rocketmq.namesrv.NamesrvStartup' | grep java | while read -r pid line; do
  named=$(printf '%s\n' "$line" | sed -n 's|.*-Drmq\.logback\.configurationFile=\(.*\)/conf/rmq\.namesrv\.logback\.xml.*|\1|p')
  case "$(cd "${named:-/}" 2>/dev/null && pwd -P)/ $line" in
    "$home/ "* | *"$home/"* | *"$bin/"*) echo "$pid" ;;
  esac
done)
if [ -z "$pids" ]; then
  echo "No mqnamesrv running."
  exit 1
fi
echo "The mqnamesrv($pids) is running..."
kill $pids
echo "Send shutdown request to mqnamesrv($pids) OK"
