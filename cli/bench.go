package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/bench"
)

func (p *program) benchCommand() *urfave.Command {
	return &urfave.Command{
		Name:  "bench",
		Usage: "measure NameServers: this one, the Java one, any one",
		Description: `"convergence" measures how long nodes disagree about a broker that left; "load" measures one running
NameServer; "compare" starts several, one after the other, and measures them side by side with what this machine can do
at best. The story of convergence in 20 seconds: epitaph bench convergence --story`,
		OnUsageError: onUsageError,
		Subcommands:  []*urfave.Command{p.benchConvergenceCommand(), p.benchLoadCommand(), p.benchCompareCommand()},
	}
}

// profileNames lists the profiles for help and messages.
func profileNames() string {
	var names []string
	for _, profile := range bench.Profiles() {
		names = append(names, profile.Name)
	}
	return strings.Join(names, ", ")
}

func (p *program) benchLoadCommand() *urfave.Command {
	d := bench.DefaultLoadConfig()
	return &urfave.Command{
		Name:      "load",
		Usage:     "route queries and registrations against one NameServer",
		UsageText: "epitaph bench load --target HOST:PORT [flags]",
		Description: `Registers synthetic brokers at the target, asks it, compares the answers and prints throughput, percentiles, CPU
and memory. Never point it at a NameServer that serves anybody: the synthetic brokers show up in its routes.`,
		OnUsageError: onUsageError,
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "target", Usage: "`HOST:PORT` of a running NameServer; without it, this program is started for the run"},
			&urfave.IntFlag{Name: "pid", Usage: "`PID` of the target, for its CPU and memory (found by itself where it is local)"},
			&urfave.StringFlag{Name: "kind", Value: string(d.Kind), Usage: "`KIND` of load: route, miss, register or mixed (5 % registrations)"},
			&urfave.StringFlag{Name: "profile", Value: d.Profile.Name, Usage: "brokers and topics: one of " + profileNames()},
			&urfave.IntFlag{Name: "connections", Value: d.Connections, Usage: "`N`, 1 to 2000"},
			&urfave.IntFlag{Name: "depth", Value: d.Depth, Usage: "requests in flight on each connection, 1 to 64"},
			&urfave.Float64Flag{Name: "rate", Usage: "requests a second over all connections (open loop); 0 is as many as possible"},
			&urfave.DurationFlag{Name: "duration", Value: d.Duration, Usage: "measured time"},
			&urfave.DurationFlag{Name: "warmup", Value: d.Warmup, Usage: "time before it, not measured"},
			&urfave.IntFlag{Name: "change-every", Value: d.ChangeEvery, Usage: "register, mixed: every `N`th topic changes; 0 sends the same content again"},
			&urfave.IntFlag{Name: "check-every", Value: d.CheckEvery, Usage: "compare the body of every `N`th answer"},
			&urfave.Uint64Flag{Name: "seed", Value: d.Seed, Usage: "the same seed asks for the same topics in the same order"},
			&urfave.BoolFlag{Name: "ceiling", Usage: "measure also what this machine can do at best (needs a C compiler)"},
			&urfave.StringFlag{Name: "plot", Usage: "draw the latency distribution to `FILE`.svg or .png"},
			&urfave.StringFlag{Name: "json", Usage: "write the report to `FILE`"},
		},
		Action: p.benchLoad,
	}
}

func (p *program) benchLoad(c *urfave.Context) error {
	cfg := bench.DefaultLoadConfig()
	cfg.Target, cfg.PID, cfg.Kind = c.String("target"), c.Int("pid"), bench.Kind(c.String("kind"))
	cfg.Connections, cfg.Depth, cfg.Rate = c.Int("connections"), c.Int("depth"), c.Float64("rate")
	cfg.Duration, cfg.Warmup = c.Duration("duration"), c.Duration("warmup")
	cfg.ChangeEvery, cfg.CheckEvery, cfg.Seed = c.Int("change-every"), c.Int("check-every"), c.Uint64("seed")
	cfg.Ceiling, cfg.Plot = c.Bool("ceiling"), c.String("plot")
	if cfg.Target == "" {
		own, err := ownServer()
		if err != nil {
			return err
		}
		cfg.Program = own
	}
	known := false
	for _, profile := range bench.Profiles() {
		if profile.Name == c.String("profile") {
			cfg.Profile, known = profile, true
		}
	}
	if !known {
		return usageError(fmt.Errorf("--profile %q is none of %s", c.String("profile"), profileNames()))
	}
	if err := errors.Join(cfg.Validate(), bench.CheckWritable("json", c.String("json"))); err != nil {
		return usageError(err)
	}
	ctx, stop := interruptible(c.Context)
	defer stop()
	report, err := bench.RunLoad(ctx, cfg, p.stderr)
	if report == nil {
		return err
	}
	err = errors.Join(err, report.WriteText(p.stdout))
	if path := c.String("json"); path != "" {
		err = errors.Join(err, bench.WriteJSON(path, report))
	}
	return err
}

func (p *program) benchCompareCommand() *urfave.Command {
	d := bench.DefaultCompareConfig()
	return &urfave.Command{
		Name:         "compare",
		Usage:        "epitaph, the machine's ceiling, Java and Rust, interleaved, each started afresh",
		UsageText:    "epitaph bench compare [flags]        (make bench-compare fetches the Java NameServer first)",
		OnUsageError: onUsageError,
		Flags: []urfave.Flag{
			&urfave.IntFlag{Name: "rounds", Value: d.Rounds, Usage: "`N` rounds; medians want five or more"},
			&urfave.IntFlag{Name: "large-rounds", Value: d.LargeRounds, Usage: "rounds that also measure 100,000 topics"},
			&urfave.DurationFlag{Name: "cell", Value: d.Cell, Usage: "measured time of each cell"},
			&urfave.StringFlag{Name: "java-cp", EnvVars: []string{"EPITAPH_JAVA_NAMESRV_CP"}, Usage: "class path of org.apache.rocketmq:rocketmq-namesrv:5.5.0"},
			&urfave.StringFlag{Name: "rust", EnvVars: []string{"EPITAPH_RUST_NAMESRV"}, Usage: "`PROGRAM` of the Rust NameServer (default " + bench.RustProgram + " on the PATH)"},
			&urfave.StringFlag{Name: "servers", Usage: "measure only these, separated by commas: " + strings.Join([]string{bench.Ours, bench.Ceiling, bench.JavaBig, bench.JavaSmall, bench.Rust}, ", ")},
			&urfave.StringFlag{Name: "json", Usage: "write the report to `FILE`"},
			&urfave.StringFlag{Name: "document", Usage: "write method, goals, figures and plots to `FILE`.md and img beside it"},
		},
		Action: p.benchCompare,
	}
}

func (p *program) benchCompare(c *urfave.Context) error {
	cfg := bench.DefaultCompareConfig()
	cfg.Rounds, cfg.LargeRounds, cfg.Cell = c.Int("rounds"), min(c.Int("large-rounds"), c.Int("rounds")), c.Duration("cell")
	cfg.JavaCP, cfg.Rust, cfg.Commit = c.String("java-cp"), c.String("rust"), revision()
	if only := c.String("servers"); only != "" {
		cfg.Servers = strings.Split(only, ",")
	}
	own, err := ownServer()
	if err != nil {
		return err
	}
	cfg.Ours = own
	if err := errors.Join(cfg.Validate(), bench.CheckWritable("json", c.String("json")),
		bench.CheckWritable("document", c.String("document"))); err != nil {
		return usageError(err)
	}
	ctx, stop := interruptible(c.Context)
	defer stop()
	report, err := bench.RunCompare(ctx, cfg, p.stderr)
	if report == nil {
		return err
	}
	err = errors.Join(err, report.WriteMarkdown(p.stdout))
	if path := c.String("json"); path != "" {
		err = errors.Join(err, bench.WriteJSON(path, report))
	}
	if path := c.String("document"); path != "" {
		err = errors.Join(err, report.WriteDocument(path))
	}
	return err
}

// ownServer is the command line of this very program as a server.
func ownServer() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	return []string{self, "serve", "--listen", "{addr}", "--data", "{dir}"}, nil
}

// interruptible ends with the first Ctrl-C, so that what was measured until then can be printed.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
