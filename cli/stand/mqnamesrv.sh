#!/bin/sh
# Stands in for RocketMQ's mqnamesrv: epitaph serves in the place of the Java NameServer.
# Made by "epitaph install-compat", undone by "epitaph install-compat --undo"; the original is mqnamesrv.rocketmq.
epitaph=@EPITAPH@

if [ -z "$ROCKETMQ_HOME" ]; then
  here=$0
  while [ -h "$here" ]; do
    link=$(readlink "$here")
    case $link in
      /*) here=$link ;;
      *) here=$(dirname "$here")/$link ;;
    esac
  done
  ROCKETMQ_HOME=$(cd "$(dirname "$here")/.." && pwd)
fi
export ROCKETMQ_HOME

if [ ! -x "$epitaph" ]; then
  echo "mqnamesrv: there is no program $epitaph: install epitaph there, or put the original back (mv $0.rocketmq $0)" >&2
  exit 127
fi
# The arguments are split at blanks once more, as by the original.
exec "$epitaph" mqnamesrv $@
