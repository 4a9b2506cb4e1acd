#!/bin/ash
# nc of busybox, and the -z that it lacks: whether something listens, for health checks.
left=$# look=
while [ "$left" -gt 0 ]; do
	arg=$1
	shift
	left=$((left - 1))
	case $arg in
	-*z*)
		look=yes
		arg=-$(printf '%s' "${arg#-}" | tr -d zv)
		;;
	-v) continue ;;
	localhost) arg=127.0.0.1 ;; # whatever is known of names here
	esac
	[ "$arg" = - ] || set -- "$@" "$arg"
done
[ -n "$look" ] || exec /bin/busybox nc "$@"
exec /bin/busybox nc -w 3 "$@" </dev/null >/dev/null 2>&1
