package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts of testdata run the real command line, each call in a process of its own.
func TestMain(m *testing.M) {
	run := func() { os.Exit(Main(os.Args, os.Stdout, os.Stderr)) }
	testscript.Main(m, map[string]func(){"epitaph": run, "mqnamesrv": run})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": status},
	})
}
