package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/node/config"
)

// Exit statuses of the original's NamesrvStartup.
const (
	mqBadArguments = 1
	mqNoHome       = 254 // -2
	mqFailed       = 255 // -1
	mqSignalled    = 128 // and the number of the signal that ended it, as the Java machine has it
)

const mqUsage = `usage: mqnamesrv [-c <arg>] [-h] [-n <arg>] [-p]
 -c,--configFile <arg>    Name server config properties file
 -h,--help                Print help
 -n,--namesrvAddr <arg>   Name server address list, eg: '192.168.0.1:9876;192.168.0.2:9876'
 -p,--printConfigItem     Print all config items
`

const mqNoHomeText = "Please set the ROCKETMQ_HOME variable in your environment to match the location of the RocketMQ installation\n"

// mqnamesrvCommand takes the arguments as they are, for its command line is that of the original.
func (p *program) mqnamesrvCommand() *command.Command {
	return &command.Command{
		Name:      "mqnamesrv",
		Usage:     "run a NameServer with the command line, texts and exit statuses of RocketMQ's mqnamesrv",
		UsageText: "epitaph mqnamesrv [-c FILE] [-h] [-n LIST] [-p], or the same with a program called mqnamesrv",
		Raw:       true,
		Run: func(_ context.Context, args []string) error {
			if status := p.mqnamesrv(args, ""); status != command.OK {
				return &command.Exit{Status: status}
			}
			return nil
		},
	}
}

// mqnamesrv follows NamesrvStartup. home is ROCKETMQ_HOME where the environment has none, for a program that stands in
// for RocketMQ's start script; empty leaves it unset. given are options of Java that stand before the class in a command
// line of that program.
func (p *program) mqnamesrv(args []string, home string, given ...string) int {
	if given := p.env("ROCKETMQ_HOME"); given != "" {
		home = given
	}
	script := p.readStartScript(home)
	java, err := p.javaOptions(append(p.commandLine(script), given...))
	if err != nil {
		fmt.Fprintln(p.stderr, err)
		return mqBadArguments
	}
	parsed, err := parseMQArguments(args)
	if err != nil {
		fmt.Fprintln(p.stderr, err)
		fmt.Fprint(p.stdout, mqUsage)
		return mqBadArguments
	}
	if parsed.has('h') {
		fmt.Fprint(p.stdout, mqUsage)
		return command.OK
	}
	if !parsed.has('p') {
		p.lookLikeJava(home, args)
	}
	sys := p.system(java)
	if _, set := sys.Properties["rocketmq.home.dir"]; !set && home != "" {
		sys.Properties["rocketmq.home.dir"] = home
	}
	if !parsed.has('p') {
		p.streams.detach()
	}
	cfg, warnings, err := p.mqConfig(parsed, sys)
	if err != nil {
		fmt.Fprintf(p.stderr, "mqnamesrv: %v\n", err)
		return mqFailed
	}
	if parsed.has('p') {
		p.printOptions(cfg)
		return command.OK
	}
	if cfg.Options.RocketmqHome == "" {
		fmt.Fprint(p.stdout, mqNoHomeText)
		return mqNoHome
	}
	if script != nil {
		warnings = append(warnings, script.warnings(p)...)
		java.ignored = slices.DeleteFunc(java.ignored, script.has) // RocketMQ's own
	}
	if len(java.ignored) > 0 {
		warnings = append(warnings, warning{"options of the Java machine have no effect", []any{"options", java.ignored}})
	}
	if parsed.has('n') {
		warnings = append(warnings, warning{"-n has no effect on a name server", []any{"value", parsed.value('n')}})
	}
	return p.mqRun(cfg, sys.UserHome, warnings)
}

// mqConfig applies the file by the original's rules: what it ignores is ignored, with a warning.
func (p *program) mqConfig(a mqArguments, sys config.System) (cfg config.Config, warnings []warning, err error) {
	var wrong []error
	for _, f := range sys.Faults() {
		wrong = append(wrong, f)
	}
	sys.Source = "-D"
	cfg = config.Default(sys)
	cfg.KVAsOriginal = true
	var ours serveSettings
	wrong = append(wrong, p.flagsOfEnv(mqFlags(&ours)))
	wrong = append(wrong, p.applyShared(&cfg, ours, envOf)...)
	cfg.SocketDir = sys.DataDir()
	if err := errors.Join(wrong...); err != nil {
		return cfg, nil, err
	}
	if a.has('c') {
		file := a.value('c')
		faults, unknown, err := loadConfigFile(&cfg, file)
		if err != nil {
			return cfg, nil, err
		}
		fmt.Fprintf(p.stdout, "load config properties file OK, %s\n", file)
		for _, f := range faults {
			text := "configuration value is not what it seems"
			if value := (*config.Fault)(nil); !errors.As(f, &value) {
				text = "configuration file is not whole; epitaph serve would refuse it"
			}
			warnings = append(warnings, warning{text, []any{"err", f}})
		}
		warnings = append(warnings, unknownKeys(file, unknown)...)
	}
	told, err := mqTLS(&cfg)
	return cfg, append(warnings, told...), err
}

// mqTLS reads the TLS settings as the original does, and warns of all that serve would refuse.
func mqTLS(cfg *config.Config) (warnings []warning, err error) {
	cfg.TLS.AsOriginal = true
	warn := func(f *config.Fault) {
		warnings = append(warnings, warning{"TLS setting does not do what it seems to; epitaph serve would refuse it", []any{"err", f}})
	}
	err = loadTLSFile(cfg)
	var overlooked *config.Fault
	if errors.As(err, &overlooked) {
		warn(overlooked)
		err = nil
	}
	faults, told := cfg.TLS.Judge()
	for _, f := range faults {
		warn(f)
	}
	return append(warnings, tlsLines(told)...), err
}

func tlsLines(told []string) (lines []warning) {
	for _, text := range told {
		lines = append(lines, warning{"TLS setting", []any{"note", text}})
	}
	return lines
}

// mqRun serves; home is the one below which the log file stands.
func (p *program) mqRun(cfg config.Config, home string, warnings []warning) int {
	logs := p.logOfEnv()
	if level := cfg.LogLevel(); logs.level == "" {
		if _, err := logLevel(level); err == nil {
			logs.level = level
		}
	}
	log, file, err := p.mqLog(logs, home)
	if err == nil {
		err = cfg.Validate()
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "mqnamesrv: not started, for the configuration is wrong:\n%v\n", indented(err))
		return mqFailed
	}
	p.streams.warn(log)
	for _, line := range cfg.OptionLines() {
		file.Info(line)
	}
	for _, w := range warnings {
		log.Warn(w.text, w.args...)
	}
	p.tellStray(log, variables(mqFlags(&serveSettings{})), "environment variable is not used by mqnamesrv")
	by, err := p.run(context.Background(), cfg, log, serving{asOriginal: true}, func(s server) {
		file.Info(p.bootLine(cfg, s))
		log.Info("gossip", "mode", gossipMode(cfg.Gossip))
		if cfg.HTTP != "" {
			log.Info("http", "addr", s.HTTPAddr())
		}
	})
	if err != nil {
		fmt.Fprintf(p.stderr, "mqnamesrv: %s\n", startFailure(cfg, err))
	}
	switch {
	case by != 0:
		p.endedBy = by
		return mqSignalled + int(by)
	case err != nil:
		return mqFailed
	}
	return command.OK
}

// mqFlags are those of serve that a drop-in NameServer reads from the environment: what its command line cannot say.
func mqFlags(s *serveSettings) []command.Flag {
	return slices.DeleteFunc(serveFlags(s), func(f command.Flag) bool {
		switch f.Name {
		case "listen", "config", "data", "set", "kv-missing", "drain-on-stop", "drain-quiet":
			return true
		}
		return f.Env == ""
	})
}

// startFailure has the original's words for a port that is taken.
func startFailure(cfg config.Config, err error) string {
	var op *net.OpError
	own := strings.HasPrefix(err.Error(), "--") // a port of ours, of which the original knows nothing
	if errors.As(err, &op) && op.Op == "listen" && !own {
		return fmt.Sprintf("Failed to bind to %s:%d: %v", cfg.Options.BindAddress, cfg.Options.ListenPort, err)
	}
	return err.Error()
}

// bootLine prints, and returns, what start scripts wait for: on stdout, or in the log file.
func (p *program) bootLine(cfg config.Config, s server) string {
	form := "JSON"
	if cfg.BinaryHeaders {
		form = "ROCKETMQ"
	}
	line := fmt.Sprintf("The Name Server boot success. serializeType=%s, address %s:%d", form, cfg.Options.BindAddress, s.Addr().Port())
	fmt.Fprintln(p.stdout, line)
	return line
}

// printOptions prints every option as the original's console logger does: its clock is that of GMT+8 everywhere.
func (p *program) printOptions(cfg config.Config) {
	at := time.Now().In(original).Format(time.DateTime)
	for _, line := range cfg.OptionLines() {
		fmt.Fprintf(p.stdout, "%s INFO main - %s\n", at, line)
	}
}

// scriptHome is the ROCKETMQ_HOME that RocketMQ's script bin/mqnamesrv finds for itself: the directory above the one
// it stands in. Links to another mqnamesrv are followed, as there; the last one, to this program, is not.
func scriptHome(program string) string {
	path, err := exec.LookPath(program)
	if err != nil {
		return ""
	}
	for range 40 { // as many links as Linux follows
		target, err := os.Readlink(path)
		if err != nil || !isMQNamesrv(target) {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	home, err := filepath.Abs(filepath.Join(filepath.Dir(path), ".."))
	if err != nil {
		return ""
	}
	return home
}
