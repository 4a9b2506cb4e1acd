package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/bench"
)

func convergenceCommand() *urfave.Command {
	d := bench.DefaultConvergeConfig()
	return &urfave.Command{
		Name:      "convergence",
		Usage:     "how long nodes disagree about a broker that left",
		UsageText: "epitaph-bench convergence --story\n   epitaph-bench convergence [--nodes 3,9,33] [--loss 0,0.3] [flags]\n   epitaph-bench convergence --targets HOST:PORT,HOST:PORT,... [flags]",
		Description: `Synthetic brokers register at every node over RocketMQ's protocol; then one leaves, and one or more nodes do not hear it:
there its connection stays open and silent, so that nothing but a tombstone can remove it. Clients ask every node all the
time. Each report has the same run without gossip beside it.
Faults: miss-one (all nodes but one hear it), miss-all-but-one (only one hears it), origin-dies (two hear it, the first
is cut off at once), mass (all brokers leave at once and one node misses it).
Never give the targets of NameServers that serve anybody: the synthetic brokers show up in their routes.`,
		OnUsageError: onUsageError,
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "story", Usage: "tell it in the terminal, with and without tombstones, in 20 seconds", DisableDefaultText: true},
			&urfave.StringFlag{Name: "nodes", Value: "3", Usage: "`N,...` nodes in this process"},
			&urfave.StringFlag{Name: "targets", Usage: "`HOST:PORT,...` of NameServers that already run, of any kind, instead"},
			&urfave.IntFlag{Name: "brokers", Value: d.Brokers, Usage: "`N` brokers at every node at a time; 500 for the fault mass unless given"},
			&urfave.IntFlag{Name: "trials", Value: d.Trials, Usage: "`N` departures of each setting; of mass a twentieth"},
			&urfave.StringFlag{Name: "loss", Value: "0", Usage: "`SHARE,...` of packets between nodes that are lost, such as 0,0.3; UDP and TCP, each way"},
			&urfave.DurationFlag{Name: "delay", Usage: "between nodes, one way; UDP and TCP"},
			&urfave.DurationFlag{Name: "partition", Usage: "cut the nodes in two for so long from just before each departure"},
			&urfave.StringFlag{Name: "fault", Value: string(d.Faults[0]), Usage: "`FAULT,...`: miss-one, miss-all-but-one, origin-dies, mass"},
			&urfave.DurationFlag{Name: "timeout", Value: d.Timeout, Usage: "a departure that is not seen everywhere by then has not converged; 150s with --targets"},
			&urfave.DurationFlag{Name: "window", Value: d.Window, Usage: "how long the same run without gossip is watched"},
			&urfave.DurationFlag{Name: "idle", Usage: "measure first, for so long, what nodes send that have nothing to say"},
			&urfave.IntFlag{Name: "storm", Usage: "at the end, `N` UNREGISTERs a second at one node: limits, memory, queues, membership"},
			&urfave.DurationFlag{Name: "storm-time", Value: d.StormTime, Usage: "how long"},
			&urfave.BoolFlag{Name: "complete", Usage: "at three nodes also every fault, a delay and a partition", DisableDefaultText: true},
			&urfave.Uint64Flag{Name: "seed", Value: d.Seed, Usage: "the same seed makes the same plan: who leaves, where, who misses it"},
			&urfave.StringFlag{Name: "plot", Usage: "draw the distribution to `FILE`.svg or .png"},
			&urfave.StringFlag{Name: "json", Usage: "write the report to `FILE`"},
			&urfave.StringFlag{Name: "document", Usage: "write method, goals and figures to `FILE`.md"},
		},
		Action: convergence,
	}
}

// list reads a flag whose values are separated by commas.
func list[T any](name, text string, parse func(string) (T, error), want string, faults *[]error) []T {
	var all []T
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		v, err := parse(part)
		if err != nil {
			*faults = append(*faults, fmt.Errorf("%s: %q is not %s", name, part, want))
			continue
		}
		all = append(all, v)
	}
	return all
}

func convergence(c *urfave.Context) error {
	if c.Args().Present() {
		return usageError(fmt.Errorf("convergence takes no argument %q; see epitaph-bench convergence --help", c.Args().First()))
	}
	if c.Bool("story") {
		return bench.Story(c.Context, c.App.Writer)
	}
	cfg := bench.DefaultConvergeConfig()
	var faults []error
	same := func(s string) (string, error) { return s, nil }
	cfg.Nodes = list("nodes", c.String("nodes"), strconv.Atoi, "a number such as 3", &faults)
	cfg.Targets = list("targets", c.String("targets"), same, "", &faults)
	cfg.Losses = list("loss", c.String("loss"), func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }, "a share such as 0.3", &faults)
	cfg.Faults = list("fault", c.String("fault"), func(s string) (bench.Fault, error) { return bench.Fault(s), nil }, "", &faults)
	cfg.Brokers, cfg.Trials, cfg.Seed = c.Int("brokers"), c.Int("trials"), c.Uint64("seed")
	cfg.Delay, cfg.Partition, cfg.Timeout = c.Duration("delay"), c.Duration("partition"), c.Duration("timeout")
	cfg.Window, cfg.Idle, cfg.Storm, cfg.StormTime = c.Duration("window"), c.Duration("idle"), c.Int("storm"), c.Duration("storm-time")
	cfg.Plot, cfg.JSON, cfg.Document = c.String("plot"), c.String("json"), c.String("document")
	if c.IsSet("brokers") {
		cfg.Mass = cfg.Brokers
	}
	cfg.Complete = c.Bool("complete")
	if len(cfg.Targets) > 0 {
		if c.IsSet("nodes") {
			faults = append(faults, errors.New("nodes: these are of this process and do not go with --targets; leave one of the two out"))
		}
		if !c.IsSet("timeout") {
			cfg.Timeout = bench.TargetsTimeout
		}
		if !c.IsSet("trials") {
			cfg.Trials = cfg.Brokers
		}
	}
	if err := errors.Join(append(faults, cfg.Validate())...); err != nil {
		return usageError(err)
	}
	report, err := bench.RunConvergence(c.Context, cfg, c.App.ErrWriter)
	if report == nil {
		return err
	}
	err = errors.Join(err, report.WriteText(c.App.Writer), writeJSON(c, report))
	if cfg.Document != "" {
		err = errors.Join(err, report.WriteDocument(cfg.Document, cfg.Plot))
	}
	return err
}
