#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME each: go test -fuzz takes one target of one package a call.
# FUZZTIME counts inputs (20000x): given as a time, an input under way at the end fails the run ("context deadline
# exceeded", go.dev/issue/75804, mended in Go 1.27).
set -eu
GO=${GO:-go}
FUZZTIME=${FUZZTIME:-200000x}
$GO list -f '{{.Dir}}' ./... | while read -r dir; do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | sed 's/^func //'); do
		echo "== $target ($dir)"
		(cd "$dir" && $GO test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" .)
	done
done
