#!/bin/sh
# As that of RocketMQ's image: a role, by the first word or by NODE_ROLE, or any command. Options alone are those of mqnamesrv.
case "$1" in
nameserver | broker | controller | proxy)
	role=${NODE_ROLE:-$1}
	shift
	;;
-* | '') role=${NODE_ROLE:-nameserver} ;;
*)
	[ -n "$NODE_ROLE" ] || exec "$@"
	role=$NODE_ROLE
	shift
	;;
esac
[ "$role" != nameserver ] || role=namesrv
exec "${0%/*}/mq$role" "$@"
