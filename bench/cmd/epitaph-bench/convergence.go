package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/bench"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func convergenceCommand(stdout, stderr io.Writer) *command.Command {
	cfg := bench.DefaultConvergeConfig()
	var story bool
	// These have other defaults where other flags are given.
	var brokers, trials int
	var timeout time.Duration
	var targets, nodes, fault string
	losses := "0"
	return &command.Command{
		Name:      "convergence",
		Usage:     "how long nodes disagree about a broker that left",
		UsageText: "epitaph-bench convergence --story\n   epitaph-bench convergence [--nodes 3,9,33] [--loss 0,0.3] [flags]\n   epitaph-bench convergence --targets HOST:PORT,HOST:PORT,... [flags]",
		Description: `Synthetic brokers register at every node over RocketMQ's protocol; then one leaves, and one or more nodes do not hear it:
there its connection stays open and silent, so that nothing but a tombstone can remove it. Clients ask every node all the
time. Each report has the same run without gossip beside it.
Faults: miss-one (all nodes but one hear it), miss-all-but-one (only one hears it), origin-dies (two hear it, the first
is cut off at once), mass (all brokers leave at once and one node misses it).
With --vanish hosts then lose their addresses without a word, and nodes with --dead-hosts on find it out together.
Never give the targets of NameServers that serve anybody: the synthetic brokers show up in their routes.`,
		Flags: []command.Flag{
			{To: &story, Name: "story", Usage: "tell it in the terminal, with and without tombstones, in 20 seconds"},
			{To: &nodes, Name: "nodes", Default: "3", Usage: "`N,...` nodes in this process"},
			{To: &targets, Name: "targets", Usage: "`HOST:PORT,...` of NameServers that already run, of any kind, instead"},
			{To: &brokers, Name: "brokers", Default: fmt.Sprintf("%d; of mass %d", cfg.Brokers, cfg.Mass), Usage: "`N` brokers at every node at a time"},
			{To: &trials, Name: "trials", Default: fmt.Sprintf("%d; with --targets one for each broker", cfg.Trials), Usage: "`N` departures of each setting; of mass a twentieth"},
			{To: &losses, Name: "loss", Usage: "`SHARE,...` of packets between nodes that are lost, such as 0,0.3; UDP and TCP, each way"},
			{To: &cfg.Delay, Name: "delay", Usage: "between nodes, one way; UDP and TCP"},
			{To: &cfg.Partition, Name: "partition", Usage: "cut the nodes in two for so long from just before each departure"},
			{To: &fault, Name: "fault", Default: string(cfg.Faults[0]), Usage: "`FAULT,...`: miss-one, miss-all-but-one, origin-dies, mass"},
			{To: &timeout, Name: "timeout", Default: fmt.Sprintf("%v; with --targets %v", cfg.Timeout, bench.TargetsTimeout),
				Usage: "a departure that is not seen everywhere by then has not converged"},
			{To: &cfg.Window, Name: "window", Usage: "how long the same run without gossip is watched"},
			{To: &cfg.Idle, Name: "idle", Usage: "measure first, for so long, what nodes send that have nothing to say"},
			{To: &cfg.Storm, Name: "storm", Usage: "at the end, `N` UNREGISTERs a second at one node: limits, memory, queues, membership"},
			{To: &cfg.StormTime, Name: "storm-time", Usage: "how long"},
			{To: &cfg.Complete, Name: "complete", Usage: "at three nodes also every fault, a delay and a partition"},
			{To: &cfg.Vanish, Name: "vanish", Usage: "also hosts that vanish, in a network namespace (Linux, ip, iptables for loss), at up to 33 nodes"},
			{To: &cfg.From, Name: "from", Usage: "add --vanish to the report in `FILE` of an earlier --json, and measure nothing else"},
			{To: &cfg.Seed, Name: "seed", Usage: "the same seed makes the same plan: who leaves, where, who misses it"},
			{To: &cfg.Plot, Name: "plot", Usage: "draw the distribution to `FILE`.svg or .png"},
			{To: &cfg.JSON, Name: "json", Usage: "write the report to `FILE`"},
			{To: &cfg.Document, Name: "document", Usage: "write method, goals and figures to `FILE`.md"},
		},
		Run: func(ctx context.Context, _ []string) error {
			if story {
				return bench.Story(ctx, stdout)
			}
			var faults []error
			same := func(s string) (string, error) { return s, nil }
			share := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
			cfg.Targets = list("targets", targets, same, "", &faults)
			cfg.Nodes = list("nodes", cmp.Or(nodes, "3"), strconv.Atoi, "a number such as 3", &faults)
			cfg.Losses = list("loss", losses, share, "a share such as 0.3", &faults)
			cfg.Faults = list("fault", cmp.Or(fault, string(cfg.Faults[0])), func(s string) (bench.Fault, error) { return bench.Fault(s), nil }, "", &faults)
			if brokers != 0 {
				cfg.Brokers, cfg.Mass = brokers, brokers
			}
			if len(cfg.Targets) > 0 {
				if nodes != "" {
					faults = append(faults, errors.New("nodes: these are of this process and do not go with --targets; leave one of the two out"))
				}
				cfg.Timeout, cfg.Trials = bench.TargetsTimeout, cfg.Brokers
			}
			cfg.Timeout, cfg.Trials = cmp.Or(timeout, cfg.Timeout), cmp.Or(trials, cfg.Trials)
			if err := errors.Join(append(faults, cfg.Validate())...); err != nil {
				return command.UsageError(err)
			}
			report, err := bench.RunConvergence(ctx, cfg, stderr)
			if report == nil {
				return err
			}
			err = errors.Join(err, report.WriteText(stdout), writeJSON(cfg.JSON, report))
			if cfg.Document != "" {
				err = errors.Join(err, report.WriteDocument(cfg.Document, cfg.Plot))
			}
			return err
		},
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
