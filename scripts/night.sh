#!/bin/sh
# night.sh PART COMMAND...: runs one part of the night and writes its row of docs/night.md anew: date, commit, machine, time and
# figures. A part that fails has its row too, and fails.
set -u
cd "$(dirname "$0")/.."
part=$1
shift
page=docs/night.md
log=$(mktemp)
trap 'rm -f "$log"' EXIT
began=$(date +%s)
{ "$@" 2>&1; echo $? >"$log.status"; } | tee "$log"
status=$(cat "$log.status")
rm -f "$log.status"
took=$((($(date +%s) - began + 30) / 60))

count() { grep -cE "$1" "$log" || true; }
figures=$(sed -nE 's/.*_test\.go:[0-9]+: ([0-9]+ (schedules in|brokers in .*p99) .*)/\1/p; s/^[0-9]+ faults: .*/&/p' "$log" | tail -n 1)
[ -n "$figures" ] || case $part in
fuzz) figures="$(count '^== Fuzz') targets, $(count '^PASS')" ;;
fleet | clients) figures=$(sed -nE 's/.*\. ([0-9]+ rounds), every.*/\1/p' "$log" | tail -n 1) ;;
model*) figures="$(count ' ticks, .* states, [0-9]+s$') variants as expected" ;;
esac
[ -n "$figures" ] || figures="$(count '^--- PASS') tests passed, $(count '^--- FAIL') failed, $(count '^--- SKIP') skipped"
[ "$status" = 0 ] || figures="FAILED: $figures"
commit=$(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ":!docs" || echo ", changed")
machine="$(getconf _NPROCESSORS_ONLN) cores, $(awk '/^MemTotal/ {printf "%d GiB", $2 / 1048576 + 0.5}' /proc/meminfo 2>/dev/null), $(uname -sm)"
row="| $part | $(date -u +%Y-%m-%d) | $commit | $machine | $took min | $figures |"

awk -v part="$part" -v row="$row" '
	{ split($0, cell, " *[|] *") }
	cell[2] == "part" { table = 1 }
	table && cell[2] == part { print row; done = 1; next }
	{ print }
	END { if (!done) print row }' "$page" >"$page.new" && mv "$page.new" "$page"
echo "== $page: $row"
exit "$status"
