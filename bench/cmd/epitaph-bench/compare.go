package main

import (
	"errors"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/bench"
)

func compareCommand() *urfave.Command {
	d := bench.DefaultCompareConfig()
	return &urfave.Command{
		Name:         "compare",
		Usage:        "epitaph, the machine's ceiling, Java and Rust, interleaved, each started afresh",
		UsageText:    "epitaph-bench compare [flags]        (make bench-compare fetches the Java NameServer first)",
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
		Action: compare,
	}
}

func compare(c *urfave.Context) error {
	cfg := bench.DefaultCompareConfig()
	cfg.Rounds, cfg.LargeRounds, cfg.Cell = c.Int("rounds"), min(c.Int("large-rounds"), c.Int("rounds")), c.Duration("cell")
	cfg.JavaCP, cfg.Rust = c.String("java-cp"), c.String("rust")
	if only := c.String("servers"); only != "" {
		cfg.Servers = strings.Split(only, ",")
	}
	own, err := server()
	if err != nil {
		return err
	}
	cfg.Ours = own
	if err := errors.Join(cfg.Validate(), bench.CheckWritable("json", c.String("json")),
		bench.CheckWritable("document", c.String("document"))); err != nil {
		return usageError(err)
	}
	report, err := bench.RunCompare(c.Context, cfg, c.App.ErrWriter)
	if report == nil {
		return err
	}
	err = errors.Join(err, report.WriteMarkdown(c.App.Writer), writeJSON(c, report))
	if path := c.String("document"); path != "" {
		err = errors.Join(err, report.WriteDocument(path))
	}
	return err
}
