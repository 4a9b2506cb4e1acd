package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/epitaph-mq/epitaph/bench"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func compareCommand(stdout, stderr io.Writer) *command.Command {
	cfg := bench.DefaultCompareConfig()
	var only, json, document string
	return &command.Command{
		Name:      "compare",
		Usage:     "epitaph, the machine's ceiling, Java and Rust, interleaved, each started afresh",
		UsageText: "epitaph-bench compare [flags]        (make bench-compare fetches the Java NameServer first)",
		Flags: []command.Flag{
			{To: &cfg.Rounds, Name: "rounds", Usage: "`N` rounds; medians want five or more"},
			{To: &cfg.LargeRounds, Name: "large-rounds", Usage: "rounds that also measure 100,000 topics"},
			{To: &cfg.Cell, Name: "cell", Usage: "measured time of each cell"},
			{To: &cfg.JavaCP, Name: "java-cp", Env: "EPITAPH_JAVA_NAMESRV_CP", Usage: "class path of org.apache.rocketmq:rocketmq-namesrv:5.5.0"},
			{To: &cfg.Rust, Name: "rust", Env: "EPITAPH_RUST_NAMESRV", Usage: "`PROGRAM` of the Rust NameServer (default " + bench.RustProgram + " on the PATH)"},
			{To: &only, Name: "servers", Usage: "measure only these, separated by commas: " + strings.Join(bench.CompareServers(), ", ")},
			{To: &json, Name: "json", Usage: "write the report to `FILE`"},
			{To: &document, Name: "document", Usage: "write method, goals, figures and plots to `FILE`.md and img beside it"},
		},
		Run: func(ctx context.Context, _ []string) (err error) {
			cfg.LargeRounds = min(cfg.LargeRounds, cfg.Rounds)
			if only != "" {
				cfg.Servers = strings.Split(only, ",")
			}
			if cfg.Ours, err = server(); err != nil {
				return err
			}
			if err := errors.Join(cfg.Validate(), bench.CheckWritable("json", json), bench.CheckWritable("document", document)); err != nil {
				return command.UsageError(err)
			}
			report, err := bench.RunCompare(ctx, cfg, stderr)
			if report == nil {
				return err
			}
			err = errors.Join(err, report.WriteMarkdown(stdout), writeJSON(json, report))
			if document != "" {
				err = errors.Join(err, report.WriteDocument(document))
			}
			return err
		},
	}
}
