package cli

import (
	"maps"
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

// system collects what the original would find as system properties. java are the options of its Java machine, which
// count where a Java NameServer would have read them, that is for mqnamesrv, else nil.
func (p *program) system(java *javaOptions) (sys config.System) {
	sys.Properties = map[string]string{}
	for name, property := range map[string]string{
		"ROCKETMQ_HOME":           "rocketmq.home.dir",
		"ROCKETMQ_SERIALIZE_TYPE": "rocketmq.serialize.type",
	} {
		if v := p.env(name); v != "" {
			sys.Properties[property] = v
		}
	}
	if java != nil {
		maps.Copy(sys.Properties, java.properties)
	}
	sys.UserHome = userHome()
	if home, ok := sys.Properties["user.home"]; ok {
		sys.UserHome = home
	}
	return sys
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
