// Command epitaph-bench measures NameServers over the wire: epitaph, the Java one, any one.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/epitaph-mq/epitaph/bench"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func main() {
	if was, status := bench.Private(); was {
		os.Exit(status)
	}
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	// The first Ctrl-C ends the measurement, so that what was measured until then can be printed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return app(stdout, stderr).Main(ctx, args, stdout, stderr)
}

func app(stdout, stderr io.Writer) *command.Command {
	return &command.Command{
		Name:      "epitaph-bench",
		Usage:     "measure NameServers: epitaph, the Java one, any one",
		UsageText: "epitaph-bench COMMAND [flags]",
		Description: `"convergence" measures how long nodes disagree about a broker that left; "load" measures one running
NameServer; "compare" starts several, one after the other, and measures them side by side with what this machine can do
at best; "fleet" does so with thousands of clients that poll; "story" tells what a departure is to clients, in 20 seconds, or
with real brokers and clients.`,
		Commands: []*command.Command{convergenceCommand(stdout, stderr), loadCommand(stdout, stderr), compareCommand(stdout, stderr), fleetCommand(stdout, stderr), storyCommand(stdout, stderr)},
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

// writeJSON writes the report to path, if there is one.
func writeJSON(path string, report any) error {
	if path == "" {
		return nil
	}
	return bench.WriteJSON(path, report)
}
