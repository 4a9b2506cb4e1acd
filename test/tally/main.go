// Command tally reads what go test -json tells, and prints it as go test would, with what was skipped, why, and how long
// it all took, at the end. Its exit status is 1 when a test or a build failed.
//
//	go test -json ./... | go run ./test/tally
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	began := time.Now()
	failed, err := tally(os.Stdin, os.Stdout, func() time.Duration { return time.Since(began) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
	}
	if failed || err != nil {
		os.Exit(1)
	}
}

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// told is what one test, or a package outside its tests, has printed so far.
type told map[[2]string][]string

// tally prints a line for each package, what a test that failed has printed, and the summary; took is asked at the end.
func tally(from io.Reader, to io.Writer, took func() time.Duration) (failed bool, err error) {
	out, skipped, packages, seen := told{}, map[string][]string{}, 0, false
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case err != nil && line == "":
			if !errors.Is(err, io.EOF) {
				return failed, err
			}
			summary(to, skipped, packages, took())
			if !seen && !failed { // go test did not get so far
				return false, errors.New("nothing was tested")
			}
			return failed, nil
		case json.Unmarshal([]byte(line), &e) != nil: // the go command speaks for itself
			fmt.Fprint(to, line)
			failed = failed || strings.HasPrefix(line, "FAIL")
			continue
		}
		seen = true
		key := [2]string{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			fmt.Fprint(to, e.Output)
		case "output":
			out[key] = append(out[key], e.Output)
		case "build-fail":
			failed = true
		case "skip":
			if e.Test != "" {
				why := reason(out[key])
				skipped[why] = append(skipped[why], short(e.Package)+"."+e.Test)
			}
			delete(out, key)
		case "pass":
			delete(out, key)
			if e.Test == "" {
				packages++
				fmt.Fprintf(to, "ok    %-60s %6.1fs\n", e.Package, e.Elapsed)
			}
		case "fail":
			failed = true
			fmt.Fprint(to, strings.Join(out[key], ""))
			delete(out, key)
			if e.Test == "" {
				packages++
				fmt.Fprintf(to, "FAIL  %-60s %6.1fs\n", e.Package, e.Elapsed)
			}
		}
	}
}

// reason is what a test said when it skipped: the last line with the place of a call in it.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if _, text, ok := strings.Cut(line, ".go:"); ok {
			_, text, _ = strings.Cut(text, ": ")
			text = strings.TrimPrefix(strings.TrimPrefix(text, "SKIPPED"), ", not proven on this machine")
			return strings.TrimSpace(strings.TrimPrefix(text, ":"))
		}
	}
	return "no reason given"
}

// short is a package without the name of the module.
func short(path string) string {
	parts := strings.SplitN(path, "/", 4)
	return parts[len(parts)-1]
}

func summary(to io.Writer, skipped map[string][]string, packages int, took time.Duration) {
	fmt.Fprintf(to, "\n%d packages in %s.\n", packages, took.Round(time.Second))
	if len(skipped) == 0 {
		fmt.Fprintln(to, "Nothing was skipped.")
		return
	}
	var reasons []string
	for why := range skipped {
		reasons = append(reasons, why)
	}
	slices.Sort(reasons)
	fmt.Fprintln(to, "Skipped, and so not proven by this run:")
	for _, why := range reasons {
		fmt.Fprintf(to, "  %s\n      %s\n", why, strings.Join(skipped[why], ", "))
	}
}
