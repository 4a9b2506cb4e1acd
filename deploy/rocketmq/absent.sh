#!/bin/sh
# Stands in the places of RocketMQ's other programs.
echo "${0##*/}: this image has RocketMQ's NameServer alone, as epitaph; take Apache RocketMQ's own image for ${0##*/}" >&2
exit 127
