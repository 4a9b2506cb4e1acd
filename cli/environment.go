package cli

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
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

// flagsOfEnv sets what the variables of flags say, for a program whose command line has none of them.
func (p *program) flagsOfEnv(flags []command.Flag) error {
	var errs []error
	for _, f := range flags {
		text := p.env(f.Env)
		if text == "" {
			continue
		}
		var err error
		want := ""
		switch to := f.To.(type) {
		case *string:
			*to = text
		case *bool:
			want = "true or false"
			*to, err = strconv.ParseBool(text)
		case *int:
			want = "a whole number"
			*to, err = strconv.Atoi(text)
		case *time.Duration:
			want = "a time such as 30s"
			var d time.Duration
			if d, err = time.ParseDuration(text); err == nil {
				*to = d
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: want %s", f.Env, text, want))
		}
	}
	return errors.Join(errs...)
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
		sys.UserHome = cmp.Or(home, "/") // Java puts a slash and a name behind it
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

// tellStray warns of variables with our prefix that nothing reads: most likely a name mistyped. Those that Kubernetes sets
// in every pod beside a Service called epitaph are told in one line.
func (p *program) tellStray(log *slog.Logger, known []string, text string) {
	var stray, links []string
	for _, entry := range p.environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name):
		case isServiceLink(name, value):
			links = append(links, name)
		default:
			stray = append(stray, name)
		}
	}
	slices.Sort(stray)
	slices.Sort(links)
	for _, name := range stray {
		log.Warn(text, "name", name)
	}
	if len(links) > 0 {
		log.Info("environment variables of a Kubernetes Service are ignored; enableServiceLinks: false in the pod's spec ends them",
			"names", strings.Join(links, ","))
	}
}

// serviceLink has the names that Kubernetes makes of a Service's name, as Docker's links once did: NAME_SERVICE_HOST,
// NAME_SERVICE_PORT and NAME_SERVICE_PORT_PORTNAME, NAME_PORT, NAME_PORT_9876_TCP and NAME_PORT_9876_TCP_ADDR.
var serviceLink = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)$`)
})

// isServiceLink says that a variable is one of those. NAME_PORT alone may be somebody's own: its value decides.
func isServiceLink(name, value string) bool {
	m := serviceLink().FindStringSubmatch(name)
	return m != nil && (m[1] != "PORT" || strings.Contains(value, "://"))
}
