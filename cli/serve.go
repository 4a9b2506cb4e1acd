package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/cli/screen"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/memory"
)

func (p *program) serveCommand() *command.Command {
	var s serveSettings
	return &command.Command{
		Name:        "serve",
		Usage:       "run a NameServer",
		UsageText:   "epitaph serve [flags]",
		Description: serveDescription,
		Flags:       serveFlags(&s),
		Run:         func(ctx context.Context, _ []string) error { return p.serve(ctx, s) },
	}
}

const serveDescription = `A NameServer tells the clients of RocketMQ which broker has which topic. Brokers register with
it every 30 seconds; it keeps that in memory. With no flag it listens on port 9876 of every address.

Every setting can come from four places; the first that has it wins:
    1. a flag                 --log-level debug
    2. the environment        EPITAPH_LOG_LEVEL=debug
    3. the file of --config   (options of RocketMQ's NameServer)
    4. the default
Of the flags, --listen and --data win over --set. All mistakes are reported at once and nothing is started.

Examples:
    on port 9876, as a Java NameServer would:
        epitaph serve
    a trial on any free port:
        epitaph serve --listen 127.0.0.1:0 --data /tmp/ns
    TLS only:
        epitaph serve --set tls.server.mode=enforcing \
            --set tls.server.certPath=/etc/rocketmq/ns.pem --set tls.server.keyPath=/etc/rocketmq/ns.key
    a node that hears from others who has left:
        epitaph serve --gossip 10.0.0.1:7946 --join 10.0.0.2:7946 \
            --cluster orders --gossip-key-file keys

SIGTERM and Ctrl-C stop it; a second one does not wait. SIGHUP reads the file of --config and the gossip keys again, and
stops it when its terminal was closed. SIGQUIT writes what every goroutine does to threads.log in the data directory.
RocketMQ's mqshutdown does not find this server: stop it through its process id or its service manager.`

// serveSettings are the flags of serve, from the command line or the environment.
type serveSettings struct {
	listen, config, data string
	readOnly, version    bool
	check, json          bool
	set                  []string
	log                  logSettings
	gossip               gossipSettings
	addresses            addressSettings
	deadHosts            deadHostSettings
	closeClients         bool
	http, socket         string
	memory               string
	maxConns             int
	kvMissing            string
	proxyFrom, adminFrom string
	tombstonesFrom       string
	kvValueMax           int
	kvStoreMax           int

	drainOnStop, drainQuiet time.Duration
}

func (p *program) serve(ctx context.Context, s serveSettings) error {
	if s.version {
		_, err := fmt.Fprintf(p.stdout, "epitaph version %s\n", version())
		return err
	}
	switch {
	case s.check:
		s.gossip = s.gossip.asMade()
	case s.json:
		return command.UsageError(errors.New("--json belongs to --check; the log of a node is JSON by --log-format json"))
	default:
		p.streams.detach()
	}
	cfg, warnings, err := p.serveConfig(s)
	logs := s.log
	logs.level = cmp.Or(logs.level, cfg.LogLevel())
	log, logErr := p.logger(logs)
	if err := errors.Join(logErr, err); err != nil {
		if s.json {
			err = errors.Join(err, p.printCheck(err))
		}
		return command.UsageError(fmt.Errorf("not started, for the configuration is wrong:\n%w", indented(err)))
	}
	p.streams.warn(log)
	p.tellStray(log, variables(serveFlags(&serveSettings{})), "environment variable is not known and ignored")
	for _, warning := range warnings {
		log.Warn(warning.text, warning.args...)
	}
	if s.check {
		_, err := p.newNode(cfg, log)
		switch {
		case s.json:
			return errors.Join(err, p.printCheck(err))
		case err == nil:
			_, err = fmt.Fprintln(p.stdout, "The settings are right: a node would start with them.")
		}
		return err
	}
	again := func() (*config.Config, error) { return p.serveAgain(s) }
	_, err = p.run(ctx, cfg, log, serving{again: again}, func(started server) {
		if s.log.format == "json" { // nothing but JSON for whoever collects both streams
			p.sayServing(cfg, started, log)
		} else {
			p.serveScreen(cfg, started)
		}
	})
	return err
}

// printCheck prints what serve --check found as JSON.
func (p *program) printCheck(found error) error {
	answer := struct {
		OK     bool     `json:"ok"`
		Faults []string `json:"faults"`
	}{OK: found == nil, Faults: []string{}}
	if found != nil {
		answer.Faults = strings.Split(found.Error(), "\n")
	}
	return (&view{out: p.stdout}).printAsJSON(answer)
}

// serveAgain reads the files again, and sets the level of the log. Flags and environment are what they were, and win.
func (p *program) serveAgain(s serveSettings) (*config.Config, error) {
	cfg, _, err := p.serveConfig(s)
	if err != nil {
		return nil, err
	}
	level, err := logLevel(cmp.Or(s.log.level, cfg.LogLevel()))
	p.level.Set(level)
	return &cfg, err
}

// warning is a line for the log, made before there is one.
type warning struct {
	text string
	args []any
}

// wholeSettings puts the lists of --set together again that were taken apart at their commas.
func wholeSettings(sets []string) (whole []string) {
	for _, set := range sets {
		last := len(whole) - 1
		if last >= 0 && !strings.Contains(set, "=") && (strings.HasPrefix(whole[last], "tls.protocols=") || strings.HasPrefix(whole[last], "tls.ciphers=")) {
			whole[last] += "," + set
		} else {
			whole = append(whole, set)
		}
	}
	return whole
}

// serveConfig puts the places of the settings together: defaults, file, environment and flags. The error joins all
// mistakes.
func (p *program) serveConfig(s serveSettings) (cfg config.Config, warnings []warning, err error) {
	sys := p.system(nil)
	var faults []error
	var options [][2]string
	for _, setting := range wholeSettings(s.set) {
		name, value, ok := strings.Cut(setting, "=")
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("--set %q: want NAME=VALUE", setting))
		case config.IsSystemProperty(name):
			if before, twice := sys.Properties[name]; twice && before != value && config.IsTLSName(name) {
				faults = append(faults, &config.Fault{Key: name, Value: value, Source: "--set",
					Remedy: "--set has another value before it: say it once"})
			}
			sys.Properties[name] = value
		default:
			options = append(options, [2]string{name, value})
		}
	}
	for _, f := range sys.Faults() {
		faults = append(faults, f)
	}
	sys.Source = "--set"
	cfg = config.Default(sys)
	if s.config != "" {
		read, unknown, err := loadConfigFile(&cfg, s.config)
		if err != nil {
			faults = append(faults, fmt.Errorf("--config: %w", err))
		}
		faults = append(faults, read...)
		warnings = append(warnings, unknownKeys(s.config, unknown)...)
		if _, err := logLevel(cfg.LogLevel()); err != nil {
			faults = append(faults, fmt.Errorf("%s: logLevel, which is %w", s.config, err))
		}
		faults = append(faults, strayTLS(cfg.Extra, s.config)...)
	}
	if java, err := p.javaOptions(p.commandLine(nil)); err == nil { // else no Java would take them either
		maps.DeleteFunc(java.properties, func(name, value string) bool { return sys.Properties[name] == value })
		faults = append(faults, strayTLS(java.properties, "options of a Java machine")...)
	}
	for _, o := range options {
		if err := cfg.Set("--set", o[0], o[1]); err != nil {
			faults = append(faults, err)
		}
	}
	faults = append(faults, p.applyFlags(&cfg, s)...)
	told, err := serveTLS(&cfg)
	if err != nil {
		faults = append(faults, err)
	}
	warnings = append(warnings, told...)
	faults = append(faults, p.applyShared(&cfg, s, func(flag string) string { return "--" + flag })...)
	cfg.DrainOnStop, cfg.DrainQuiet = s.drainOnStop, cmp.Or(s.drainQuiet, config.DefaultDrainQuiet)
	switch s.kvMissing {
	case "", "refuse":
	case "serve":
		cfg.KVServeMissing = true
	default:
		faults = append(faults, fmt.Errorf("--kv-missing=%q: want refuse or serve", s.kvMissing))
	}
	cfg.SocketDir = cmp.Or(s.data, sys.DataDir())
	faults = append(faults, cfg.Validate(), cfg.CheckZone())
	return cfg, warnings, errors.Join(faults...)
}

// applyShared puts into cfg what mqnamesrv has of serve's flags, too; named is what a flag is called where it was given.
func (p *program) applyShared(cfg *config.Config, s serveSettings, named func(flag string) string) (faults []error) {
	s.gossip.key = p.env(gossip.KeyVariable)
	faults = append(faults, s.gossip.into(cfg), s.deadHosts.into(cfg), setMemory(cfg, s.memory, s.maxConns))
	s.addresses.into(cfg)
	cfg.ReadOnlyConfig, cfg.CloseClientsUntilReady = s.readOnly, s.closeClients
	cfg.HTTP, cfg.Socket, cfg.Release = s.http, s.socket, revision()
	cfg.KVValueMax, cfg.KVStoreMax = s.kvValueMax, s.kvStoreMax
	var err error
	cfg.ProxyFrom, err = config.Networks(named("proxy-from"), s.proxyFrom)
	faults = append(faults, err)
	cfg.AdminFrom, err = config.Networks(named("admin-from"), s.adminFrom)
	faults = append(faults, err)
	cfg.TombstonesFrom, err = config.Networks(named("tombstones-from"), s.tombstonesFrom)
	return append(faults, err)
}

// setMemory shares out the memory that --memory, GOMEMLIMIT or a cgroup leaves the process, and says how many connections there may be; flag may
// be empty, and conns 0.
func setMemory(cfg *config.Config, flag string, conns int) error {
	var size int64
	var err error
	if flag != "" {
		if size, err = memory.ParseSize(flag); err != nil {
			return &config.Fault{Key: "--memory", Value: flag, Remedy: err.Error()}
		}
	}
	cfg.Memory = memory.Plan(memory.Find(size))
	if cfg.MaxConnections = conns; conns == 0 {
		cfg.MaxConnections = cfg.Memory.Connections(memory.Files())
	}
	if cfg.MaxConnections < 16 {
		return &config.Fault{Key: "--max-connections", Value: fmt.Sprint(conns), Remedy: "want 16 or more"}
	}
	return nil
}

// strayTLS are settings of TLS where serve does not read them.
func strayTLS(settings map[string]string, source string) (faults []error) {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if config.IsTLSName(name) {
			faults = append(faults, &config.Fault{Key: name, Value: settings[name], Source: source,
				Remedy: "TLS is not read from there: give it with --set NAME=VALUE, or in tls.config.file"})
		}
	}
	return faults
}

// serveTLS judges what was set of TLS, and opens the files. A certificate of which the settings are wrong is not looked at.
func serveTLS(cfg *config.Config) (warnings []warning, err error) {
	err = loadTLSFile(cfg)
	refused, told := cfg.TLS.Judge()
	for _, f := range refused {
		err = errors.Join(err, f)
	}
	if err == nil && cfg.TLS.Complete() {
		err = node.CheckTLS(&cfg.TLS)
	}
	return tlsLines(told), err
}

func (p *program) applyFlags(cfg *config.Config, s serveSettings) (faults []error) {
	if s.data != "" {
		store := cfg.Options.ConfigStorePath
		cfg.UseDataDir(s.data)
		if s.config != "" {
			cfg.Options.ConfigStorePath = store
		}
	}
	if s.listen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.listen)
	if err != nil {
		return []error{&config.Fault{
			Key: "--listen", Value: s.listen, Remedy: "want HOST:PORT, such as 0.0.0.0:9876 or [::1]:9876",
		}}
	}
	if host == "" {
		host = "0.0.0.0"
	}
	cfg.Options.BindAddress = host
	if err := cfg.Set("", "listenPort", port); err != nil {
		return []error{&config.Fault{
			Key: "--listen", Value: s.listen, Remedy: "want a port from 1 to 65535, or 0 for any free one",
		}}
	}
	return nil
}

// sayServing is serveScreen as a line of the log.
func (p *program) sayServing(cfg config.Config, s server, log *slog.Logger) {
	http, g := "", gossip.Config{}
	if cfg.HTTP != "" {
		http = s.HTTPAddr().String()
	}
	if cfg.Gossip != nil {
		g = *cfg.Gossip
	}
	log.Info("serving", "version", version(), "listen", s.Addr().String(), "tls", string(cfg.TLS.Mode), "http", http, "socket", s.Socket(),
		"gossip", g.Bind, "cluster", g.Cluster, "name", g.Name, "kv_file", cfg.Options.KVConfigPath, "config_file", cfg.Options.ConfigStorePath)
}

// serveScreen tells the operator where the node is, what it is, and what to do next.
func (p *program) serveScreen(cfg config.Config, s server) {
	near := reachable(s.Addr())
	watch := "off (--http HOST:PORT: health checks and metrics for others)"
	if cfg.HTTP != "" {
		watch = fmt.Sprintf("http://%s (%sread-only: /readyz, /metrics, /v1/...)", s.HTTPAddr(), everywhere(s.HTTPAddr()))
	}
	socket, flag := p.whereAsked(cfg, s)
	next := ""
	if flag != nobodyAsked {
		next = fmt.Sprintf("\nand of this one:\n  epitaph brokers%s\n", flag)
		if cfg.Gossip != nil {
			next += fmt.Sprintf("  epitaph members%s\n  epitaph tombstones%s\n", flag, flag)
		}
	}
	_, _ = io.WriteString(p.stdout, screen.Fold(fmt.Sprintf(`epitaph %s serves
  listening   %s (%sRocketMQ remoting, TLS %s)
  mode        %s
  socket      %s
  http        %s
  KV store    %s
  changes     %s

Try next, with the programs of RocketMQ:
  mqbroker -n %s               starts a broker that registers here
  mqadmin clusterList -n %s    shows the brokers
%sStop with Ctrl-C.
`, version(), s.Addr(), everywhere(s.Addr()), cfg.TLS.Mode, gossipMode(cfg.Gossip), socket, watch, kvStore(cfg, s), runtimeConfig(cfg, s), near, near, next)))
}

// nobodyAsked stands in the place of the flag with which commands find a node where none does.
const nobodyAsked = "-"

// whereAsked is where commands on this machine ask the node, in words and as what they must be given.
func (p *program) whereAsked(cfg config.Config, s server) (socket, flag string) {
	switch path := s.Socket(); {
	case path == "" && cfg.HTTP == "":
		return "NONE, so commands cannot ask this node (see the log)", nobodyAsked
	case path == "":
		if addr := reachable(s.HTTPAddr()); addr != defaultHTTP {
			flag = " -a " + addr
		}
		return "NONE, so commands must ask by HTTP (see the log)", flag
	case slices.Contains(p.socketDirs(), filepath.Dir(path)):
		return path, ""
	default:
		return path, " --socket " + path
	}
}

// kvStore is the file of the KV store, and why nothing can be changed in it.
func kvStore(cfg config.Config, s server) string {
	if why := s.KVFault(); why != nil {
		return "changes are refused: " + why.Error()
	}
	return stored(cfg.Options.KVConfigPath)
}

// stored is the file, and that nothing can be kept in it.
func stored(path string) string {
	if config.CheckFile(path) != nil {
		return path + " CANNOT BE WRITTEN, so changes are refused (see the log)"
	}
	return path
}

// everywhere says that a listener is open to others where nobody chose an address.
func everywhere(addr netip.AddrPort) string {
	if addr.Addr().IsUnspecified() {
		return "every address of this host; "
	}
	return ""
}

// reachable is an address that this machine reaches the listener at.
func reachable(addr netip.AddrPort) string {
	return net.JoinHostPort(loopbackFor(addr.Addr().Unmap().String()), fmt.Sprint(addr.Port()))
}

// runtimeConfig says what becomes of changes while the node runs.
func runtimeConfig(cfg config.Config, s server) string {
	if cfg.ReadOnlyConfig {
		return "refused (--read-only-config)"
	}
	const by = "by mqadmin updateNamesrvConfig are "
	if why := s.OptionsFault(); why != nil {
		return by + "refused: " + why.Error()
	}
	file := stored(cfg.Options.ConfigStorePath)
	if cfg.File == "" && file == cfg.Options.ConfigStorePath {
		file += "; a start reads it only as --config"
	}
	return by + "written to " + file
}

// indented puts every mistake on a line of its own.
func indented(err error) error {
	return errors.New("  " + strings.ReplaceAll(err.Error(), "\n", "\n  "))
}
