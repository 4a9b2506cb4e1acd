package cli

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/epitaph-mq/epitaph/node/config"
)

// The scripts of testdata run the real command line, each call in a process of its own.
func TestMain(m *testing.M) {
	if signal.Ignored(syscall.SIGHUP) && strings.HasSuffix(os.Args[0], ".test") {
		// Under nohup, servers that run in this process would not hear it. A signal that is caught is as usual after exec.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		panic(syscall.Exec(os.Args[0], os.Args, os.Environ()))
	}
	time.Local = time.UTC // screens show the time of day, and goroutines of other tests may read this one
	run := func() {
		os.Exit(Main(os.Args, func() ([]string, error) { return []string{"the licences\n"}, nil }, os.Stdout, os.Stderr))
	}
	if _, _, ok := asJava(os.Args); ok { // mqnamesrv once more; on the PATH java stays what it is
		run()
	}
	testscript.Main(m, map[string]func(){"epitaph": run, "mqnamesrv": run, "panics": panics})
}

// panics is epitaph with a server that panics when it is told to stop.
func panics() {
	p := &program{stdout: os.Stdout, stderr: os.Stderr, environ: environ(), newNode: func(cfg config.Config, log *slog.Logger) (server, error) {
		n, err := newNode(cfg, log)
		return panicking{n}, err
	}}
	os.Exit(p.main(append([]string{"epitaph"}, os.Args[1:]...)))
}

type panicking struct{ server }

func (panicking) Drain(context.Context) { panic("told to stop") }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               takePort,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": status},
	})
}

// takePort listens where $TAKEN says, for as long as the script runs.
func takePort(e *testscript.Env) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e.Defer(func() { l.Close() })
	e.Setenv("TAKEN", l.Addr().String())
	return nil
}
