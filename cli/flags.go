package cli

import (
	"fmt"
	"log/slog"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// envPrefix begins the environment variable of every flag: --log-level is EPITAPH_LOG_LEVEL.
const envPrefix = "EPITAPH_"

func envOf(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Categories of flags in --help.
const (
	categoryServe = "Serving:"
	categoryLog   = "Logging:"
)

func textFlag(category, name, placeholder, usage string) *urfave.StringFlag {
	return &urfave.StringFlag{
		Name: name, Category: category, EnvVars: []string{envOf(name)}, Usage: "`" + placeholder + "`: " + usage,
	}
}

func serveFlags() []urfave.Flag {
	return []urfave.Flag{
		textFlag(categoryServe, "listen", "HOST:PORT",
			"where brokers and clients connect; port 0 takes any free one (default 0.0.0.0:9876)"),
		textFlag(categoryServe, "config", "FILE",
			"properties file of a RocketMQ NameServer; run-time changes (mqadmin updateNamesrvConfig) are written into it"),
		textFlag(categoryServe, "data", "DIR",
			"where the KV store is kept, and run-time changes when there is no --config (default ~/namesrv, "+
				"as the Java NameServer has it)"),
		&urfave.BoolFlag{
			Name: "read-only-config", Category: categoryServe, EnvVars: []string{envOf("read-only-config")},
			Usage: "refuse every run-time change of the configuration",
		},
		&urfave.StringSliceFlag{
			Name: "set", Category: categoryServe, EnvVars: []string{envOf("set")},
			Usage: "`NAME=VALUE`: set an option of the properties file, or a system property of RocketMQ such as " +
				"tls.server.mode=enforcing; may be given several times",
		},
		textFlag(categoryLog, "log-level", "LEVEL", "debug, info, warn or error (default info)"),
		textFlag(categoryLog, "log-format", "FORMAT", "text or json (default text)"),
	}
}

// knownVariables are the variables that the flags of serve read.
func knownVariables() []string {
	var names []string
	for _, f := range serveFlags() {
		if d, ok := f.(urfave.DocGenerationFlag); ok {
			names = append(names, d.GetEnvVars()...)
		}
	}
	return names
}

// newLogger makes the logger of a server on stderr. The error names the flag.
func (p *program) newLogger(level, format string) (*slog.Logger, error) {
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
		return slog.New(slog.NewTextHandler(p.stderr, &options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(p.stderr, &options)), nil
	}
	return nil, fmt.Errorf("--log-format=%q: want text or json", format)
}
