package main

import (
	"strings"
	"testing"
	"time"
)

// What failed is printed whole, what passed is not, and the end tells what was skipped and why.
func TestTally(t *testing.T) {
	for name, c := range map[string]struct {
		events string
		failed bool
		want   []string
		not    string
	}{
		"passed": {`{"Action":"output","Package":"example.org/m/p/a","Test":"TestX","Output":"noise\n"}
{"Action":"pass","Package":"example.org/m/p/a","Test":"TestX"}
{"Action":"pass","Package":"example.org/m/p/a","Elapsed":1.25}`, false, []string{"ok    example.org/m/p/a", "1.2s", "1 packages in 1m30s.", "Nothing was skipped."}, "noise"},
		"failed": {`{"Action":"output","Package":"p","Test":"TestX","Output":"    x_test.go:1: wrong\n"}
{"Action":"fail","Package":"p","Test":"TestX"}
{"Action":"fail","Package":"p","Elapsed":1}`, true, []string{"x_test.go:1: wrong", "FAIL  p"}, "ok"},
		"skipped": {`{"Action":"output","Package":"example.org/m/p/a","Test":"TestX","Output":"    x_test.go:1: SKIPPED, not proven on this machine: java is not there\n"}
{"Action":"output","Package":"example.org/m/p/a","Test":"TestX","Output":"--- SKIP: TestX (0.00s)\n"}
{"Action":"skip","Package":"example.org/m/p/a","Test":"TestX"}
{"Action":"pass","Package":"example.org/m/p/a"}`, false, []string{"Skipped, and so not proven by this run:\n  java is not there\n      a.TestX\n"}, "Nothing"},
		"not built":               {`{"Action":"build-output","Output":"undefined: x\n"}` + "\n" + `{"Action":"build-fail"}`, true, []string{"undefined: x"}, "ok"},
		"words of the command":    {"FAIL\tp [setup failed]", true, []string{"[setup failed]"}, "ok"},
		"a package without tests": {`{"Action":"skip","Package":"p"}`, false, []string{"0 packages"}, "Skipped"},
	} {
		var out strings.Builder
		failed, err := tally(strings.NewReader(c.events), &out, func() time.Duration { return 90 * time.Second })
		if err != nil || failed != c.failed || strings.Contains(out.String(), c.not) {
			t.Errorf("%s: failed %v, %v: %s", name, failed, err, out.String())
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in %s", name, want, out.String())
			}
		}
	}
}

// Where go test did not get as far as a test, that is no success.
func TestNothingTested(t *testing.T) {
	var out strings.Builder
	if _, err := tally(strings.NewReader(""), &out, func() time.Duration { return 0 }); err == nil {
		t.Error("no error")
	}
}
