package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/epitaph-mq/epitaph/bench"
	"github.com/epitaph-mq/epitaph/cli/command"
)

// profileNames lists the profiles for help and messages.
func profileNames() string {
	var names []string
	for _, profile := range bench.Profiles() {
		names = append(names, profile.Name)
	}
	return strings.Join(names, ", ")
}

func loadCommand(stdout, stderr io.Writer) *command.Command {
	cfg, json := bench.DefaultLoadConfig(), ""
	kind, profile := string(cfg.Kind), cfg.Profile.Name
	return &command.Command{
		Name:      "load",
		Usage:     "route queries and registrations against one NameServer",
		UsageText: "epitaph-bench load --target HOST:PORT [flags]",
		Description: `Registers synthetic brokers at the target, asks it, compares the answers and prints throughput, percentiles, CPU
and memory. Never point it at a NameServer that serves anybody: the synthetic brokers show up in its routes.`,
		Flags: []command.Flag{
			{To: &cfg.Target, Name: "target", Usage: "`HOST:PORT` of a running NameServer; without it, epitaph is started for the run"},
			{To: &cfg.PID, Name: "pid", Usage: "`PID` of the target, for its CPU and memory (found by itself where it is local)"},
			{To: &kind, Name: "kind", Usage: "`KIND` of load: route, miss, register or mixed (5 % registrations)"},
			{To: &profile, Name: "profile", Usage: "brokers and topics: one of " + profileNames()},
			{To: &cfg.Connections, Name: "connections", Usage: "`N`, 1 to 2000"},
			{To: &cfg.Depth, Name: "depth", Usage: "requests in flight on each connection, 1 to 64"},
			{To: &cfg.Rate, Name: "rate", Usage: "requests a second over all connections (open loop); 0 is as many as possible"},
			{To: &cfg.Duration, Name: "duration", Usage: "measured time"},
			{To: &cfg.Warmup, Name: "warmup", Usage: "time before it, not measured"},
			{To: &cfg.ChangeEvery, Name: "change-every", Usage: "register, mixed: every `N`th topic changes; 0 sends the same content again"},
			{To: &cfg.CheckEvery, Name: "check-every", Usage: "compare the body of every `N`th answer"},
			{To: &cfg.Seed, Name: "seed", Usage: "the same seed asks for the same topics in the same order"},
			{To: &cfg.Ceiling, Name: "ceiling", Usage: "measure also what this machine can do at best (needs a C compiler)"},
			{To: &cfg.Plot, Name: "plot", Usage: "draw the latency distribution to `FILE`.svg or .png"},
			{To: &json, Name: "json", Usage: "write the report to `FILE`"},
		},
		Run: func(ctx context.Context, _ []string) error {
			found, err := bench.FindProfile(profile)
			if err != nil {
				return command.UsageError(err)
			}
			cfg.Profile = found
			cfg.Kind = bench.Kind(kind)
			if cfg.Target == "" {
				own, err := server()
				if err != nil {
					return err
				}
				cfg.Program = own
			}
			if err := errors.Join(cfg.Validate(), bench.CheckWritable("json", json)); err != nil {
				return command.UsageError(err)
			}
			report, err := bench.RunLoad(ctx, cfg, stderr)
			if report == nil {
				return err
			}
			return errors.Join(err, report.WriteText(stdout), writeJSON(json, report))
		},
	}
}
