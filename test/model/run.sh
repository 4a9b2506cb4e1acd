#!/bin/sh
# Runs the variants of tombstone.pml: each safe one is searched exhaustively, each unsafe one must give its
# counterexample at the least number of ticks that shows it, for a check that cannot fail is worth nothing. Needs spin
# and a C compiler.
#   ./run.sh              safe variants at 2 ticks (what CI runs)
#   LONG=1 ./run.sh       safe variants at 3 ticks: minutes and up to 8 GB each, one after another
#   ONLY=late ./run.sh    only the variants whose name contains that word
set -eu
cd "$(dirname "$0")"
ticks=2
[ "${LONG:-0}" = 1 ] && ticks=3
memory=${MEMORY_MB:-7500}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# variant NAME safe|unsafe TICKS FLAG... searches one variant and compares the result with what is expected.
variant() {
	name=$1 want=$2 maxt=$3
	shift 3
	case $name in *"${ONLY:-}"*) ;; *) return 0 ;; esac
	dir="$work/$name"
	mkdir "$dir"
	start=$(date +%s)
	flags="-DMAXT=$maxt $*"
	# shellcheck disable=SC2086 # flags are words
	(cd "$dir" && spin -a $flags "$OLDPWD/tombstone.pml" && cc -w -O2 -DSAFETY -DCOLLAPSE -DMEMLIM="$memory" -o pan pan.c)
	(cd "$dir" && ./pan -E -m200000 -w26) >"$dir/out" 2>&1 || true
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$dir/out")
	if grep -q 'out of memory\|max search depth too small\|Search not completed' "$dir/out" && ! grep -q 'assertion violated' "$dir/out"; then
		got=incomplete
	elif grep -q 'assertion violated' "$dir/out"; then
		got=unsafe
	elif grep -q 'errors: 0' "$dir/out"; then
		got=safe
	else
		got=broken
	fi
	printf '%-34s %-7s %s ticks, %s states, %ss' "$name" "$got" "$maxt" "${states:-?}" "$(($(date +%s) - start))"
	if [ "$got" = "$want" ]; then
		echo
	else
		echo "  WRONG: expected $want"
		tail -25 "$dir/out"
		failed=1
	fi
	rm -rf "$dir"
}

variant rule                        safe   $ticks
variant late-proof                  safe   $ticks -DLATE
variant ownership                   safe   $ticks -DLIVE -DOWN
variant one-process-twice           safe   $ticks -DSAMEPROC -DNOSTALL
variant overlap-without-stall       safe   $ticks -DOVERLAP -DNOSTALL

variant no-life-comparison          unsafe 1 -DNO_L
variant unacknowledged-life         unsafe 1 -DUNCERTIFIED
variant reset-taken-for-ack         unsafe 1 -DRSTACK
variant pushed-age                  unsafe 1 -DPUSHAGE
variant retry-overwrites-t0         unsafe 1 -DRETRY
variant frozen-origin               unsafe 1 -DFREEZE
variant no-ownership                unsafe 2 -DLIVE
variant overlap-with-stall          unsafe 1 -DOVERLAP
variant late-proof-with-overlap     unsafe 1 -DLATE -DOVERLAP
variant two-live-processes          unsafe 1 -DOVERLAP2 -DNOSTALL
variant no-unregister-comparison    unsafe 1 -DSAMEPROC -DNOSTALL -DNO_U
exit $failed
