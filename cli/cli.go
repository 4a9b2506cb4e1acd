package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/cli/screen"
)

// Exit statuses of our own commands; mqnamesrv has the original's.
const (
	exitOK     = 0
	exitFailed = 1 // it was asked for properly and could not be done
	exitUsage  = 2 // the command line or the configuration is wrong
)

// exitError carries the exit status of a command that failed.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func init() {
	urfave.HelpPrinter = func(w io.Writer, template string, data any) {
		var b bytes.Buffer
		urfave.HelpPrinterCustom(&b, template, data, nil)
		_, _ = io.WriteString(w, screen.Fold(b.String())) // a closed terminal is nobody to tell
	}
}

func usageError(err error) error { return &exitError{status: exitUsage, err: err} }

// program is one run of the command line: everything a command may touch besides its flags.
type program struct {
	stdout, stderr io.Writer
	environ        []string
	name           string // as it was called
	licenses       string
	newNode        nodeMaker
}

// Main runs the command line and returns the exit status. args[0] is the name of the program: called as mqnamesrv it
// is the original's start program. licenses is what the command of that name prints.
func Main(args []string, licenses string, stdout, stderr io.Writer) int {
	p := &program{stdout: stdout, stderr: stderr, environ: environ(), licenses: licenses, newNode: newNode}
	return p.main(args)
}

func (p *program) main(args []string) int {
	if len(args) > 0 && isMQNamesrv(args[0]) {
		return p.mqnamesrv(args[1:], scriptHome(args[0]))
	}
	if len(args) > 1 && args[1] == "mqnamesrv" {
		return p.mqnamesrv(args[2:], "")
	}
	if len(args) > 0 {
		p.name = args[0]
	}
	err := p.app().Run(args)
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errConflicts) {
		return exitFailed
	}
	fmt.Fprintf(p.stderr, "epitaph: %v\n", err)
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.status
	}
	return exitFailed
}

func isMQNamesrv(program string) bool {
	return strings.TrimSuffix(filepath.Base(program), ".exe") == "mqnamesrv"
}

func (p *program) app() *urfave.App {
	return &urfave.App{
		Name:            "epitaph",
		Usage:           "a RocketMQ NameServer whose nodes tell each other which brokers have left",
		UsageText:       "epitaph COMMAND [flags]",
		Description:     appDescription,
		Version:         version(),
		HideHelpCommand: true,
		Writer:          p.stdout,
		ErrWriter:       p.stderr,
		ExitErrHandler:  func(*urfave.Context, error) {},
		OnUsageError:    onUsageError,
		Action:          p.welcome,
		Commands: []*urfave.Command{
			p.serveCommand(),
			p.clusterCommand(),
			mqnamesrvCommand(),
			p.keygenCommand(),
			p.membersCommand(),
			p.tombstonesCommand(),
			p.brokersCommand(),
			p.routesCommand(),
			p.conflictsCommand(),
			p.topCommand(),
			p.forceLeaveCommand(),
			p.diffCommand(),
			p.healthCommand(),
			p.licensesCommand(),
		},
	}
}

const appDescription = `epitaph takes the place of the Java NameServer of Apache RocketMQ: brokers, clients and
mqadmin talk to it as they are. Start with "epitaph serve --help".`

const welcomeText = `epitaph is a RocketMQ NameServer. It needs no Java, no RocketMQ installation and
no configuration.

Start one here:
    epitaph serve

Then, from the machine of a RocketMQ broker, and of an application:
    mqbroker -n THIS_HOST:9876
    export NAMESRV_ADDR=THIS_HOST:9876

To replace a Java NameServer with its own command line and files:
    epitaph mqnamesrv -c namesrv.properties

All commands:              epitaph --help
All settings of a server:  epitaph serve --help
`

// welcome is what a newcomer sees who types nothing but the name of the program.
func (p *program) welcome(c *urfave.Context) error {
	switch name := c.Args().First(); name {
	case "":
		_, err := io.WriteString(p.stdout, welcomeText)
		return err
	case "bench":
		return usageError(errors.New("the benchmark is a program of its own: epitaph-bench"))
	default:
		return usageError(fmt.Errorf("there is no command %q; see epitaph --help", name))
	}
}

func onUsageError(c *urfave.Context, err error, _ bool) error {
	help := "epitaph --help"
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != "epitaph" {
		help = "epitaph " + c.Command.Name + " --help"
	}
	return usageError(fmt.Errorf("%w; see %s", err, help))
}

// release is set by the linker (Makefile); without it, build information is used.
var release string

// version is the release, the module's version, or the commit it was built from.
func version() string { return revision() + " (RocketMQ 5.5.0)" }

func revision() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return v
}
