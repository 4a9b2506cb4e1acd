package cli

import (
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/node/config"
)

func environ() []string { return os.Environ() }

// env returns one variable; an empty one counts as not set, as for the flags.
func (p *program) env(name string) string {
	value := ""
	for _, entry := range p.environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// system collects what the original would find as system properties. Java's own options count only where a Java
// NameServer would have read them, which is for mqnamesrv.
func (p *program) system(javaOptions bool) (sys config.System, ignored []string) {
	sys.Properties = map[string]string{}
	for name, property := range map[string]string{
		"ROCKETMQ_HOME":           "rocketmq.home.dir",
		"ROCKETMQ_SERIALIZE_TYPE": "rocketmq.serialize.type",
	} {
		if v := p.env(name); v != "" {
			sys.Properties[property] = v
		}
	}
	if javaOptions {
		ignored = p.javaOptions(sys.Properties)
	}
	sys.UserHome = userHome()
	if home, ok := sys.Properties["user.home"]; ok {
		sys.UserHome = home
	}
	return sys, ignored
}

// javaOptions takes -Dname=value from the variables that a Java machine or RocketMQ's start scripts pass to it, in the
// order in which the later wins, and returns the options that mean nothing without a Java machine.
func (p *program) javaOptions(properties map[string]string) (ignored []string) {
	for _, name := range []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPT", "JAVA_OPT_EXT"} {
		for _, word := range strings.Fields(p.env(name)) {
			definition, ok := strings.CutPrefix(word, "-D")
			if !ok {
				ignored = append(ignored, word)
				continue
			}
			key, value, _ := strings.Cut(definition, "=")
			properties[key] = value
		}
	}
	return ignored
}

// userHome is Java's user.home: the one of the password file, whatever HOME says.
func userHome() string {
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		return u.HomeDir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "."
	}
	return home
}

// strayVariables are variables with our prefix that nothing reads: most likely a name mistyped.
func (p *program) strayVariables(known []string) []string {
	var stray []string
	for _, entry := range p.environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) && !slices.Contains(known, name) {
			stray = append(stray, name)
		}
	}
	slices.Sort(stray)
	return stray
}
