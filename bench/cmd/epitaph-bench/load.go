package main

import (
	"errors"
	"fmt"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/bench"
)

// profileNames lists the profiles for help and messages.
func profileNames() string {
	var names []string
	for _, profile := range bench.Profiles() {
		names = append(names, profile.Name)
	}
	return strings.Join(names, ", ")
}

func loadCommand() *urfave.Command {
	d := bench.DefaultLoadConfig()
	return &urfave.Command{
		Name:      "load",
		Usage:     "route queries and registrations against one NameServer",
		UsageText: "epitaph-bench load --target HOST:PORT [flags]",
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
		Action: load,
	}
}

func load(c *urfave.Context) error {
	cfg := bench.DefaultLoadConfig()
	cfg.Target, cfg.PID, cfg.Kind = c.String("target"), c.Int("pid"), bench.Kind(c.String("kind"))
	cfg.Connections, cfg.Depth, cfg.Rate = c.Int("connections"), c.Int("depth"), c.Float64("rate")
	cfg.Duration, cfg.Warmup = c.Duration("duration"), c.Duration("warmup")
	cfg.ChangeEvery, cfg.CheckEvery, cfg.Seed = c.Int("change-every"), c.Int("check-every"), c.Uint64("seed")
	cfg.Ceiling, cfg.Plot = c.Bool("ceiling"), c.String("plot")
	if cfg.Target == "" {
		own, err := server()
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
	report, err := bench.RunLoad(c.Context, cfg, c.App.ErrWriter)
	if report == nil {
		return err
	}
	return errors.Join(err, report.WriteText(c.App.Writer), writeJSON(c, report))
}
