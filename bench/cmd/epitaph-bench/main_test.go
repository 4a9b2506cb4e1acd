package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/epitaph-mq/epitaph/cli"
	"github.com/epitaph-mq/epitaph/cli/screen"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/inproc"
)

// The scripts of testdata run the real command line, each call in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"epitaph-bench": main,
		"epitaph":       func() { os.Exit(cli.Main(os.Args, nil, os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true,
		Condition: func(cond string) (bool, error) {
			if cond != "cores" {
				return false, fmt.Errorf("no condition %q", cond)
			}
			return runtime.NumCPU() > 1, nil
		},
	})
}

func measure(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(append([]string{"epitaph-bench"}, args...), &out, &errs)
	return status, out.String(), errs.String()
}

// Every command and flag that was once there is there, with its type and its variable.
func TestNoFlagIsTakenAway(t *testing.T) {
	kit.Listed(t, "testdata/listed/flags.txt", kit.Flags(app(nil, nil)))
}

func TestHelpFitsTheScreen(t *testing.T) {
	for _, command := range []string{"", "convergence", "load", "compare", "fleet", "story"} {
		status, out, errs := measure(strings.Fields(command + " --help")...)
		if status != 0 || !strings.Contains(out, "epitaph-bench "+command) {
			t.Errorf("%s: status %d, %s%s", command, status, out, errs)
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > screen.Width {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

// The short form of `epitaph-bench load`, against a node in this process: every kind of load, no wrong answer.
func TestLoad(t *testing.T) {
	n := inproc.StartNode(t, nil)
	for _, kind := range []string{"route", "miss", "register", "mixed"} {
		status, out, errs := measure("load", "--target", n.Addr().String(), "--kind", kind, "--connections", "4", "--depth", "2",
			"--duration", "200ms", "--warmup", "50ms", "--check-every", "1")
		if status != 0 || !strings.Contains(out, " 0 wrong") {
			t.Errorf("%s: status %d\n%s%s", kind, status, out, errs)
		}
	}
}

// `epitaph-bench fleet` against a node in this process: fifty clients, every scene that leaves it running, no wrong answer.
func TestFleet(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: epitaph-bench fleet needs Linux")
	}
	n := inproc.StartNode(t, nil)
	status, out, errs := measure("fleet", "--target", n.Addr().String(), "--clients", "50", "--topics-each", "5", "--rounds", "1", "--period", "1s",
		"--window", "500ms", "--warmup", "100ms", "--herd", "500ms", "--register-every", "500ms", "--storm-time", "500ms",
		"--storm-brokers", "6", "--storm-topics", "600", "--storm-width", "3", "--topics", "500", "--max-lag", "1m",
		"--sources", "7", "--meanwhile", "echo played; sleep 0.3")
	if status != 0 || strings.Contains(errs, "trouble") || !strings.Contains(errs, "\nplayed\n") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	for _, scene := range []string{"steady", "meanwhile", "herd", "reconnect", "silent", "storm", "after the storm"} {
		if !strings.Contains(errs, "  "+scene+", 50 clients: ") || !strings.Contains(out, "### "+scene+": ") {
			t.Errorf("%s was not played: %s%s", scene, out, errs)
		}
	}
	if strings.Contains(errs, "restart, 50") {
		t.Error("a target was restarted")
	}
}

func TestMistakes(t *testing.T) {
	for args, want := range map[string]string{
		"load --target 127.0.0.1:1 --kind nonsense":   `"nonsense" is none of`,
		"load --target 127.0.0.1:1 --profile nothing": `"nothing" is none of`,
		"load --target 127.0.0.1:1 --connections 9":   "127.0.0.1:1",
		"load --nothing": "see epitaph-bench load --help",
		"weigh":          `no command "weigh"`,
	} {
		if status, _, errs := measure(strings.Fields(args)...); status == 0 || !strings.Contains(errs, want) {
			t.Errorf("%s: status %d, %q is not in %s", args, status, want, errs)
		}
	}
}
