package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/epitaph-mq/epitaph/bench"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func fleetCommand(stdout, stderr io.Writer) *command.Command {
	cfg := bench.DefaultFleetConfig()
	var clients, scenes, meanwhile, only, json, document, operations string
	return &command.Command{
		Name:  "fleet",
		Usage: "thousands of clients that poll, all at once after a fault, while brokers register",
		UsageText: "epitaph-bench fleet [flags]        (make bench-fleet fetches the Java NameServer first)\n" +
			"   epitaph-bench fleet --target HOST:PORT --clients N [flags]",
		Description: `Starts epitaph, the machine's ceiling, Java and Rust one after the other, each on a core of its own, and lets fleets of
clients poll them: open loop, latency from the intended start, with CPU and memory of the server and the lag of the
generator itself. Needs Linux and two cores.
Never give the target of a NameServer that serves anybody: the synthetic brokers show up in its routes.`,
		Flags: []command.Flag{
			{To: &cfg.Target, Name: "target", Usage: "`HOST:PORT` of a running NameServer, of any kind; it is not restarted"},
			{To: &cfg.PID, Name: "pid", Usage: "`PID` of the target, for its CPU and memory (found by itself where it is local)"},
			{To: &clients, Name: "clients", Default: ints(cfg.Clients), Usage: "`N,...` sizes of the fleet, one connection each; scenes beside steady with the first and last"},
			{To: &cfg.Sources, Name: "sources", Usage: "`N` loopback addresses that clients come from; 0 is as few as ports allow"},
			{To: &cfg.Each, Name: "topics-each", Usage: "topics that each client polls, drawn by their popularity"},
			{To: &cfg.Period, Name: "period", Usage: "between two polls of a client"},
			{To: &scenes, Name: "scenes", Default: "all", Usage: "`SCENE,...` of " + fmt.Sprint(bench.Scenes())},
			{To: &meanwhile, Name: "meanwhile", Usage: "`COMMAND` of sh that runs in one more scene, steady for as long as it does"},
			{To: &cfg.Rounds, Name: "rounds", Usage: "`N` rounds; medians want five or more"},
			{To: &cfg.Window, Name: "window", Usage: "measured time of steady and silent, and after the storm"},
			{To: &cfg.Warmup, Name: "warmup", Usage: "time before it, not measured"},
			{To: &cfg.Herd, Name: "herd", Usage: "time in which all clients poll in herd; 0 is as short as this machine can"},
			{To: &cfg.Register, Name: "register-every", Usage: "time between two registrations of a broker; after a restart they come back within it"},
			{To: &cfg.StormTime, Name: "storm-time", Usage: "time in which the brokers of storm register"},
			{To: &cfg.Profile.Brokers, Name: "brokers", Usage: "`N` brokers, each with all topics"},
			{To: &cfg.Profile.Topics, Name: "topics", Usage: "`N` topics of them"},
			{To: &cfg.Storm.Brokers, Name: "storm-brokers", Usage: "`N` brokers that register in storm"},
			{To: &cfg.Storm.Topics, Name: "storm-topics", Usage: "`N` topics of them"},
			{To: &cfg.Storm.Width, Name: "storm-width", Usage: "brokers of each of these topics"},
			{To: &cfg.MaxLag, Name: "max-lag", Usage: "throw a round away when the generator was later than this at the 99th percentile"},
			{To: &cfg.JavaCP, Name: "java-cp", Env: "EPITAPH_JAVA_NAMESRV_CP", Usage: "class path of org.apache.rocketmq:rocketmq-namesrv:5.5.0"},
			{To: &cfg.Rust, Name: "rust", Env: "EPITAPH_RUST_NAMESRV", Usage: "`PROGRAM` of the Rust NameServer (default " + bench.RustProgram + " on the PATH)"},
			{To: &only, Name: "servers", Default: strings.Join(bench.FleetServers(), ","), Usage: "`NAME,...` of servers to start; " + bench.JavaSmall + " is another"},
			{To: &cfg.Seed, Name: "seed", Usage: "the same seed makes the same plan: who polls what, when"},
			{To: &json, Name: "json", Usage: "write the report to `FILE`"},
			{To: &document, Name: "document", Usage: "write method, goals, figures and plots to `FILE`.md and img beside it"},
			{To: &operations, Name: "operations", Usage: "put the table of sizes into the part on sizing of `FILE`.md"},
		},
		Run: func(ctx context.Context, _ []string) (err error) {
			var faults []error
			same := func(s string) (string, error) { return s, nil }
			if clients != "" {
				cfg.Clients = list("clients", clients, strconv.Atoi, "a number such as 1000", &faults)
			}
			if scenes != "" {
				cfg.Scenes = list("scenes", scenes, func(s string) (bench.Scene, error) { return bench.Scene(s), nil }, "", &faults)
			}
			if meanwhile != "" {
				cfg.Meanwhile = func(ctx context.Context) error {
					sh := exec.CommandContext(ctx, "sh", "-c", meanwhile)
					sh.Stdin, sh.Stdout, sh.Stderr = os.Stdin, stderr, stderr
					return sh.Run()
				}
			}
			cfg.Servers = list("servers", only, same, "", &faults)
			cfg.Profile.Width = cfg.Profile.Brokers
			if cfg.Target == "" {
				if cfg.Ours, err = server(); err != nil {
					return err
				}
			} else if scenes == "" {
				cfg.Scenes = bench.TargetScenes()
			}
			faults = append(faults, cfg.Validate(), bench.CheckWritable("json", json),
				bench.CheckWritable("document", document), bench.CheckOperations(operations))
			if err := errors.Join(faults...); err != nil {
				return command.UsageError(err)
			}
			report, err := bench.RunFleet(ctx, cfg, stderr)
			if report == nil {
				return err
			}
			err = errors.Join(err, report.WriteMarkdown(stdout), writeJSON(json, report))
			if report.Rounds == 0 {
				return errors.Join(err, errors.New("no round came to its end: no page is written"))
			}
			if document != "" {
				err = errors.Join(err, report.WriteDocument(document))
			}
			if operations != "" {
				err = errors.Join(err, report.WriteSizes(operations))
			}
			return err
		},
	}
}

func ints(all []int) string { return strings.ReplaceAll(strings.Trim(fmt.Sprint(all), "[]"), " ", ",") }
