package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/epitaph-mq/epitaph/bench"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func storyCommand(stdout, stderr io.Writer) *command.Command {
	cfg := bench.DefaultWindowConfig()
	var clients, vanish bool
	var scenes, json, document string
	return &command.Command{
		Name:      "story",
		Usage:     "what a departure is to clients: told in 20 seconds, or measured with real ones",
		UsageText: "epitaph-bench story [--vanish]\n   epitaph-bench story --clients [flags]        (make bench-clients fetches brokers and clients first)",
		Description: `Without flags it is the story that convergence --story tells. With --vanish a broker's host vanishes, and the nodes find it out
together; what their kernels tell them is played. With --clients, real producers and consumers (Java 5.5.0 and
4.9.7, Go 2.1.2) send to two real brokers under three NameServers, Java ones and ours in turn, while one of the brokers
leaves unheard by one NameServer, is killed, or vanishes with its machine: sends that failed or were retried, p99, and how long
clients' routes named the broker. Needs Java, and for machines that vanish root on Linux; what this machine lacks is named in the
report. A round takes 17 minutes.`,
		Flags: []command.Flag{
			{To: &vanish, Name: "vanish", Usage: "tell what nodes do about a host that vanishes, and about a false alarm, in half a minute"},
			{To: &clients, Name: "clients", Usage: "measure with real brokers and clients"},
			{To: &cfg.Rounds, Name: "rounds", Usage: "`N` rounds; everything is started afresh in each"},
			{To: &scenes, Name: "scenes", Default: "all", Usage: "`SCENE,...` of " + fmt.Sprint(bench.WindowScenes())},
			{To: &cfg.JavaCP, Name: "java-cp", Env: "EPITAPH_JAVA_NAMESRV_CP", Usage: "class path of org.apache.rocketmq:rocketmq-namesrv:5.5.0"},
			{To: &cfg.BrokerCP, Name: "broker-cp", Env: "EPITAPH_JAVA_BROKER_CP", Usage: "class path of org.apache.rocketmq:rocketmq-broker:5.5.0"},
			{To: &cfg.Java5CP, Name: "java5-client-cp", Env: "EPITAPH_JAVA5_CLIENT_CP", Usage: "class path of rocketmq-client:5.5.0 and the compiled Window.java"},
			{To: &cfg.Java4CP, Name: "java4-client-cp", Env: "EPITAPH_JAVA4_CLIENT_CP", Usage: "class path of rocketmq-client:4.9.7 and the compiled Window.java"},
			{To: &cfg.Go, Name: "go-client", Env: "EPITAPH_GO_CLIENT", Usage: "`PROGRAM` with clients on rocketmq-client-go"},
			{To: &json, Name: "json", Usage: "write the report to `FILE`"},
			{To: &document, Name: "document", Usage: "write method, goals, figures and picture to `FILE`.md and img beside it"},
		},
		Run: func(ctx context.Context, _ []string) (err error) {
			switch {
			case vanish:
				return bench.StoryVanish(ctx, stdout)
			case !clients:
				return bench.Story(ctx, stdout)
			}
			var faults []error
			if scenes != "" {
				cfg.Scenes = list("scenes", scenes, func(s string) (bench.WindowScene, error) { return bench.WindowScene(s), nil }, "", &faults)
			}
			if cfg.Ours, err = server(); err != nil {
				return err
			}
			faults = append(faults, cfg.Validate(), bench.CheckWritable("json", json), bench.CheckWritable("document", document))
			if err := errors.Join(faults...); err != nil {
				return command.UsageError(err)
			}
			report, err := bench.RunWindow(ctx, cfg, stderr)
			if report == nil {
				return err
			}
			err = errors.Join(err, report.WriteMarkdown(stdout), writeJSON(json, report))
			if report.Rounds == 0 || len(report.Cells) == 0 {
				return errors.Join(err, errors.New("nothing was measured to the end: no page is written"))
			}
			if document != "" {
				err = errors.Join(err, report.WriteDocument(document))
			}
			return err
		},
	}
}
