package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/cli/output"
)

// program is one run of the command line: everything a command may touch besides its flags.
type program struct {
	stdout, stderr io.Writer
	environ        []string
	name           string // as it was called
	licenses       func() ([]string, error)
	newNode        nodeMaker
	usual          []string // where sockets of nodes are looked for; nil: where they are by default
	streams        streams
	level          slog.LevelVar // of the log
	become         becomer
	endedBy        syscall.Signal // 0: by none, or it is a server that ends with 0
}

// Main runs the command line and returns the exit status. args[0] is the name of the program: called as mqnamesrv it
// is the original's start program. licenses are the texts that the command of that name prints.
func Main(args []string, licenses func() ([]string, error), stdout, stderr io.Writer) int {
	p := &program{stdout: stdout, stderr: stderr, environ: environ(), licenses: licenses, newNode: newNode, become: becomeSelf}
	status := p.main(args)
	if p.endedBy != 0 && p.underManager() {
		endBy(p.endedBy)
	}
	return status
}

func (p *program) main(args []string) int {
	p.streams = streams{out: output.NewStream(p.stdout), err: output.NewStream(p.stderr)}
	p.stdout, p.stderr = p.streams.out, p.streams.err
	defer p.streams.close()
	if len(args) > 0 && isMQNamesrv(args[0]) {
		return p.mqnamesrv(args[1:], scriptHome(args[0]))
	}
	if options, rest, ok := asJava(args); ok {
		p.become = nil
		return p.mqnamesrv(rest, "", options...)
	}
	if len(args) > 0 {
		p.name = args[0]
	}
	app := p.app
	if len(args) > 1 && args[1] == "serve" {
		app = p.server
	}
	return app().Main(context.Background(), args, p.stdout, p.stderr)
}

func isMQNamesrv(program string) bool {
	return strings.TrimSuffix(filepath.Base(program), ".exe") == "mqnamesrv"
}

// server is the program with serve alone: a server that runs for years need not hold the flags of all commands.
func (p *program) server() *command.Command {
	app := p.bare()
	app.Commands = []*command.Command{p.serveCommand()}
	return app
}

// bare is the program without commands.
func (p *program) bare() *command.Command {
	return &command.Command{
		Name:        "epitaph",
		Usage:       "a RocketMQ NameServer whose nodes tell each other which brokers have left",
		UsageText:   "epitaph COMMAND [flags]",
		Description: appDescription,
		Version:     version(),
		Run: func(context.Context, []string) error {
			_, err := io.WriteString(p.stdout, welcomeText)
			return err
		},
	}
}

func (p *program) app() *command.Command {
	app := p.bare()
	app.Commands = []*command.Command{
		p.serveCommand(),
		p.clusterCommand(),
		p.mqnamesrvCommand(),
		p.installCompatCommand(),
		p.keygenCommand(),
		p.statusCommand(),
		p.membersCommand(),
		p.tombstonesCommand(),
		p.vanishedCommand(),
		p.brokersCommand(),
		p.routesCommand(),
		p.conflictsCommand(),
		p.addressesCommand(),
		p.topCommand(),
		p.drainCommand(),
		p.undrainCommand(),
		p.safeToStopCommand(),
		p.forceLeaveCommand(),
		p.diffCommand(),
		p.doctorCommand(),
		p.watchRouteCommand(),
		p.healthCommand(),
		p.licensesCommand(),
		{Name: relayCommand, Raw: true, Hidden: true, Run: func(context.Context, []string) error {
			output.Relay()
			return nil
		}},
		{Name: "bench", Raw: true, Hidden: true, Run: func(context.Context, []string) error {
			return command.UsageError(errors.New("the benchmark is a program of its own: epitaph-bench"))
		}},
	}
	app.Commands = append(app.Commands, command.Own(app, p.stdout)...)
	return app
}

const appDescription = `epitaph takes the place of the Java NameServer of Apache RocketMQ: brokers, clients and
mqadmin talk to it as they are. Start with "epitaph serve --help".`

// welcomeText is what a newcomer sees who types nothing but the name of the program.
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
