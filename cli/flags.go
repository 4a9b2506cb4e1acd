package cli

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// envPrefix begins the environment variable of every flag: --log-level is EPITAPH_LOG_LEVEL.
const envPrefix = "EPITAPH_"

func envOf(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

const closeClientsFlag = "close-clients-until-ready"

// Categories of flags in --help.
const (
	categoryServe = "Serving:"
	categoryWatch = "Being watched:"
	categoryLog   = "Logging:"
)

// textFlag makes a flag whose default is told but not set, so that the file can give another.
func textFlag(category, name, value, usage string) *urfave.StringFlag {
	return &urfave.StringFlag{
		Name: name, Category: category, EnvVars: []string{envOf(name)}, Usage: usage, DefaultText: value,
	}
}

func serveFlags() []urfave.Flag {
	return append(gossipFlags(), []urfave.Flag{
		textFlag(categoryServe, "listen", "0.0.0.0:9876",
			"`HOST:PORT` where brokers and clients connect; port 0 takes any free one"),
		textFlag(categoryServe, "config", "none",
			"properties `FILE` of a RocketMQ NameServer; changes by mqadmin updateNamesrvConfig are written into it"),
		textFlag(categoryServe, "data", "~/namesrv, as the Java NameServer has it",
			"`DIR` of the KV store (kvConfig.json), and of such changes when there is no --config"),
		&urfave.BoolFlag{
			Name: "read-only-config", Category: categoryServe, EnvVars: []string{envOf("read-only-config")},
			Usage: "refuse every change by mqadmin updateNamesrvConfig", DisableDefaultText: true,
		},
		&urfave.StringSliceFlag{
			Name: "set", Category: categoryServe, EnvVars: []string{envOf("set")},
			Usage: "`NAME=VALUE` of an option that the file could hold, or of a system property of RocketMQ such as " +
				"tls.server.mode; may be given several times",
		},
		textFlag(categoryWatch, "http", "off",
			"`HOST:PORT` of a read-only listener for health checks, metrics and commands such as epitaph brokers; it asks nobody "+
				"who he is, so use loopback, as "+defaultHTTP+" is, or a network of your own"),
		&urfave.BoolFlag{
			Name: closeClientsFlag, Category: categoryServe, EnvVars: []string{envOf(closeClientsFlag)},
			Usage: "while the node is not ready, close the connections of clients that ask for routes (never those of brokers): " +
				"a Java client moves to another NameServer only then", DisableDefaultText: true,
		},
		&urfave.BoolFlag{Name: "version", Usage: "print the version and end", DisableDefaultText: true},
		textFlag(categoryLog, "log-level", "info", "`LEVEL` from which on lines are written: debug, info, warn or error"),
		textFlag(categoryLog, "log-format", "text", "`FORMAT` of the lines: text or json"),
		textFlag(categoryLog, "log-to", "stderr", "`STREAM` of the lines: stderr or stdout"),
	}...)
}

// knownVariables are the variables that the flags of serve read.
func knownVariables() []string { return variablesOf(serveFlags()) }

func variablesOf(flags []urfave.Flag) []string {
	var names []string
	for _, f := range flags {
		if d, ok := f.(urfave.DocGenerationFlag); ok {
			names = append(names, d.GetEnvVars()...)
		}
	}
	return names
}

// logSettings are the flags of the log, from the command line or the environment; empty is the default.
type logSettings struct{ level, format, to string }

func (p *program) logOfEnv() logSettings {
	return logSettings{p.env(envOf("log-level")), p.env(envOf("log-format")), p.env(envOf("log-to"))}
}

// logger makes the logger of a server on the stream that was asked for. The error names the flag.
func (p *program) logger(s logSettings) (*slog.Logger, error) {
	switch s.to {
	case "", "stderr":
		return newLogger(p.stderr, s.level, s.format)
	case "stdout":
		return newLogger(p.stdout, s.level, s.format)
	}
	return nil, fmt.Errorf("--log-to=%q: want stderr or stdout", s.to)
}

// newLogger makes the logger of a server. The error names the flag.
func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var options slog.HandlerOptions
	switch level {
	case "", "info":
	case "debug":
		options.Level = slog.LevelDebug
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	default:
		return nil, fmt.Errorf("--log-level=%q: want debug, info, warn or error", level)
	}
	switch format {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, &options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &options)), nil
	}
	return nil, fmt.Errorf("--log-format=%q: want text or json", format)
}
