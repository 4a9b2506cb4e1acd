package cli

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
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

// serveFlags write what was given to s.
func serveFlags(s *serveSettings) []command.Flag {
	s.kvValueMax = config.DefaultKVValueMax
	s.drainQuiet = config.DefaultDrainQuiet
	flags := append([]command.Flag{
		{To: &s.listen, Category: categoryServe, Name: "listen", Default: "0.0.0.0:9876",
			Usage: "`HOST:PORT` where brokers and clients connect; port 0 takes any free one"},
		{To: &s.config, Category: categoryServe, Name: "config", Default: "none",
			Usage: "properties `FILE` of a RocketMQ NameServer; changes by mqadmin updateNamesrvConfig are written into it"},
		{To: &s.data, Category: categoryServe, Name: "data", Default: "~/namesrv, as the Java NameServer has it",
			Usage: "`DIR` of the KV store (kvConfig.json), and of such changes when there is no --config"},
		{To: &s.kvMissing, Category: categoryServe, Name: "kv-missing", Default: "refuse",
			Usage: "`WHAT` to do where kvConfig.json was lost or cannot be read: refuse to start, or serve routes alone and answer every " +
				"request for KV values with an error"},
		{To: &s.kvValueMax, Category: categoryServe, Name: "kv-value-max",
			Usage: "`BYTES` that a KV value may have; what kvConfig.json holds at the start is served all the same"},
		{To: &s.kvStoreMax, Category: categoryServe, Name: "kv-store-max",
			Default: fmt.Sprintf("%d, or an eighth of GOMEMLIMIT", config.DefaultKVStoreMax),
			Usage:   "`BYTES` that all KV values together may have, likewise"},
		{To: &s.readOnly, Category: categoryServe, Name: "read-only-config",
			Usage: "refuse every change by mqadmin updateNamesrvConfig"},
		{To: &s.set, Category: categoryServe, Name: "set",
			Usage: "`NAME=VALUE` of an option that the file could hold, or of a system property of RocketMQ such as " +
				"tls.server.mode; may be given several times"},
		{To: &s.tombstonesFrom, Category: categoryServe, Name: "tombstones-from", Default: "everybody",
			Usage: "`CIDR,...` of the brokers of which each address is one machine: from elsewhere the last connection owns, as in RocketMQ, " +
				"and no departure is told"},
		{To: &s.proxyFrom, Category: categoryServe, Name: "proxy-from", Default: "nobody",
			Usage: "`CIDR,...` of the front ends whose PROXY headers are believed: behind them brokers and tools count as the address in the " +
				"header, elsewhere as the one that they connect from"},
		{To: &s.adminFrom, Category: categoryServe, Name: "admin-from", Default: "everybody, as in RocketMQ",
			Usage: "`CIDR,...` from which KV values, write permissions, topics and configuration may be changed, and brokers unregistered that are " +
				"not the sender's own; --proxy-from says whose address counts"},
		{To: &s.closeClients, Category: categoryServe, Name: closeClientsFlag,
			Usage: "while the node is not ready and another one is, close the connections of clients that ask for routes (never those of brokers): " +
				"a Java client moves to another NameServer only then"},
		{To: &s.drainOnStop, Category: categoryServe, Name: "drain-on-stop", Default: "0s: not at all",
			Usage: "`TIME` for which SIGTERM first lets clients go at most, while everybody is served: 160s is what moves all that ask an address server"},
		{To: &s.drainQuiet, Category: categoryServe, Name: "drain-quiet",
			Usage: "`TIME` after which a drain is over when no client has asked for a route meanwhile: more than they wait between two looks"},
		{To: &s.maxConns, Category: categoryServe, Name: "max-connections",
			Usage: "`N` connections of brokers and clients at most, 0 for what the limits on open files and memory allow; from three quarters on the source that has most gives first"},
		{To: &s.memory, Category: categoryServe, Name: "memory", Default: "GOMEMLIMIT, or the limit of the container or unit",
			Usage: "`SIZE` that the process may take, such as 512MiB or 2g: requests, KV values and routes get their parts of it, and what is beyond is refused"},
		{To: &s.socket, Category: categoryWatch, Name: "socket", Default: "epitaph-PORT.sock in the data directory",
			Usage: "`PATH` of the Unix socket, its owner's alone, at which epitaph brokers and the other commands find the node"},
		{To: &s.http, Category: categoryWatch, Name: "http", Default: "off",
			Usage: "`HOST:PORT` of a read-only listener for health checks, metrics and commands of other machines; it asks nobody " +
				"who he is, so use loopback, as " + defaultHTTP + " is, or a network of your own"},
		{To: &s.log.to, Category: categoryLog, Name: "log-to", Default: "stderr", Usage: "`STREAM` of the lines: stderr or stdout"},
	}, slices.Concat(gossipFlags(&s.gossip), deadHostFlags(&s.deadHosts), addressFlags(&s.addresses), logFlags(&s.log))...)
	for i := range flags {
		flags[i].Env = envOf(flags[i].Name)
	}
	return append(flags, command.Flag{To: &s.check, Category: categoryServe, Name: "check",
		Usage: "judge the settings and the files that they name, and end: 0 when a node would start with them. No port is opened and nothing is " +
			"written, so it may be run beside a node"}, command.Flag{To: &s.json, Category: categoryServe, Name: "json", Usage: "for programs: what --check finds as JSON"},
		command.Flag{To: &s.version, Name: "version", Usage: "print the version and end"})
}

func logFlags(s *logSettings) []command.Flag {
	return []command.Flag{
		{To: &s.level, Category: categoryLog, Name: "log-level", Env: envOf("log-level"), Default: "info",
			Usage: "`LEVEL` from which on lines are written: debug, info, warn or error"},
		{To: &s.format, Category: categoryLog, Name: "log-format", Env: envOf("log-format"), Default: "text", Usage: "`FORMAT` of the lines: text or json"},
	}
}

// variables are those that flags are read from, with the one that is no flag.
func variables(flags []command.Flag) []string {
	names := []string{gossip.KeyVariable}
	for _, f := range flags {
		names = append(names, f.Env)
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
		return p.newLogger(p.stderr, s)
	case "stdout":
		return p.newLogger(p.stdout, s)
	}
	return nil, fmt.Errorf("--log-to=%q: want stderr or stdout", s.to)
}

// newLogger makes the logger of a server, whose level can change while it runs. The error names the flag.
func (p *program) newLogger(w io.Writer, s logSettings) (*slog.Logger, error) {
	level, err := logLevel(s.level)
	if err != nil {
		return nil, err
	}
	p.level.Set(level)
	options := &slog.HandlerOptions{Level: &p.level}
	handler := func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) }
	switch s.format {
	case "", "text":
	case "json":
		options.ReplaceAttr = node.LogAttr
		handler = func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, options) }
	default:
		return nil, fmt.Errorf("--log-format=%q: want text or json", s.format)
	}
	if queue, ok := w.(interface {
		Tell(made func(lost uint64) []byte)
	}); ok {
		queue.Tell(droppedLines(handler))
	}
	return slog.New(handler(w)), nil
}

// logLevel is the level of that name; none is info. The error names the flag.
func logLevel(name string) (slog.Level, error) {
	level, err := config.ParseLevel(name)
	if err != nil {
		err = fmt.Errorf("--log-level=%q: %w", name, err)
	}
	return level, err
}
