// Command epitaph-bench measures NameServers over the wire: epitaph, the Java one, any one.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/bench"
	"github.com/epitaph-mq/epitaph/cli/screen"
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// run returns the exit status: 2 for a wrong command line, 1 for what could not be done.
func run(args []string, stdout, stderr io.Writer) int {
	// The first Ctrl-C ends the measurement, so that what was measured until then can be printed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := app(stdout, stderr).RunContext(ctx, args)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "epitaph-bench: %v\n", err)
	if exit, ok := errors.AsType[urfave.ExitCoder](err); ok {
		return exit.ExitCode()
	}
	return 1
}

func usageError(err error) error { return urfave.Exit(err, 2) }

func onUsageError(c *urfave.Context, err error, _ bool) error {
	return usageError(fmt.Errorf("%w; see %s --help", err, c.Command.HelpName))
}

func app(stdout, stderr io.Writer) *urfave.App {
	urfave.HelpPrinter = func(w io.Writer, template string, data any) {
		var b bytes.Buffer
		urfave.HelpPrinterCustom(&b, template, data, nil)
		_, _ = io.WriteString(w, screen.Fold(b.String())) // a closed terminal is nobody to tell
	}
	return &urfave.App{
		Name:      "epitaph-bench",
		Usage:     "measure NameServers: epitaph, the Java one, any one",
		UsageText: "epitaph-bench COMMAND [flags]",
		Description: `"convergence" measures how long nodes disagree about a broker that left; "load" measures one running
NameServer; "compare" starts several, one after the other, and measures them side by side with what this machine can do
at best. The story of convergence in 20 seconds: epitaph-bench convergence --story`,
		HideHelpCommand: true,
		HideVersion:     true,
		Writer:          stdout,
		ErrWriter:       stderr,
		ExitErrHandler:  func(*urfave.Context, error) {},
		OnUsageError:    onUsageError,
		Commands:        []*urfave.Command{convergenceCommand(), loadCommand(), compareCommand()},
		Action: func(c *urfave.Context) error {
			if c.Args().Present() {
				return usageError(fmt.Errorf("there is no command %q; see epitaph-bench --help", c.Args().First()))
			}
			return urfave.ShowAppHelp(c)
		},
	}
}

// server is the command line of the epitaph that is measured: the one beside this program, or else on the PATH.
func server() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	program, err := exec.LookPath(filepath.Join(filepath.Dir(self), "epitaph"))
	if err != nil {
		program, err = exec.LookPath("epitaph")
	}
	if err != nil {
		return nil, fmt.Errorf("epitaph is neither beside %s nor on the PATH; make build makes both", self)
	}
	return []string{program, "serve", "--listen", "{addr}", "--data", "{dir}"}, nil
}

// writeJSON writes the report where --json says, if it does.
func writeJSON(c *urfave.Context, report any) error {
	if path := c.String("json"); path != "" {
		return bench.WriteJSON(path, report)
	}
	return nil
}
