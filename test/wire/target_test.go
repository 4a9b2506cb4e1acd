package wire

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// javaVersion is the release that decides what is right.
const javaVersion = "5.5.0"

// options are what a row may choose about its server; the zero value is a server with default options.
type options struct {
	dir        string            // files of an earlier server; "": a new temporary directory
	properties map[string]string // the -c file
	system     map[string]string // Java system properties, e.g. tls.server.mode
	env        []string
	tls        bool // its port is asked by TLS although system says nothing of it
}

// server is a running target. Every server has its own directory with its configuration and its KV store.
type server struct {
	*kit.Process
	addr, dir, config, kv string
}

// target starts servers of one implementation.
type target interface {
	run(options) (*server, error)                          // does not wait
	command(dir string, args ...string) (*exec.Cmd, error) // the original's command line; no ROCKETMQ_HOME
}

var bootLine = regexp.MustCompile(`The Name Server boot success\. serializeType=(JSON|ROCKETMQ), address [^ ]+:(\d+)$`)

// await waits for the boot line and sets addr.
func (s *server) await() error {
	m, err := s.Line(bootLine, 5*time.Minute)
	if err != nil {
		return err
	}
	s.addr = net.JoinHostPort("127.0.0.1", m[2])
	return nil
}

type javaTarget struct{}

func (javaTarget) run(o options) (*server, error) {
	var jvm []string
	tls := o.tls
	for k, v := range o.system {
		jvm = append(jvm, "-D"+k+"="+v)
		tls = tls || strings.HasPrefix(k, "tls.")
	}
	n, err := java.RunNameServer(javaVersion, java.NameServerOptions{
		Dir: o.dir, Properties: o.properties, JVM: jvm, Env: o.env, TLS: tls,
	})
	if err != nil {
		return nil, err
	}
	return &server{Process: n.Process, dir: n.Dir, config: n.Config, kv: n.KVConfig}, nil
}

func (javaTarget) command(dir string, args ...string) (*exec.Cmd, error) {
	jars, err := java.Fetch("rocketmq-namesrv", javaVersion)
	if err != nil {
		return nil, err
	}
	jvm := []string{"-cp", java.ClassPath(jars), "-Duser.home=" + dir, "-XX:TieredStopAtLevel=1", "org.apache.rocketmq.namesrv.NamesrvStartup"}
	cmd := exec.Command("java", append(jvm, args...)...)
	cmd.Dir, cmd.Env = dir, withoutHome()
	return cmd, nil
}

// withoutHome is this process's environment without a ROCKETMQ_HOME.
func withoutHome() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ROCKETMQ_HOME=") })
}

// epitaphTarget runs the binary by the original's command line.
type epitaphTarget struct{ binary string }

func (e epitaphTarget) run(o options) (*server, error) {
	s := &server{dir: o.dir, config: filepath.Join(o.dir, "namesrv.conf"), kv: filepath.Join(o.dir, "kvConfig.json")}
	if _, err := os.Stat(s.config); err != nil || o.properties != nil {
		props := map[string]string{"listenPort": "0", "kvConfigPath": s.kv}
		maps.Copy(props, o.properties)
		if err := java.WriteProperties(s.config, props); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(e.binary, "mqnamesrv", "-c", s.config)
	cmd.Dir = o.dir
	cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+o.dir)
	system := []string{"-Duser.home=" + o.dir}
	for k, v := range o.system {
		system = append(system, "-D"+k+"="+v)
	}
	cmd.Env = append(append(cmd.Env, "JAVA_OPT_EXT="+strings.Join(system, " ")), o.env...)
	var err error
	s.Process, err = kit.Exec(cmd)
	return s, err
}

func (e epitaphTarget) command(dir string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(e.binary, append([]string{"mqnamesrv"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(withoutHome(), "JAVA_OPT_EXT=-Duser.home="+dir)
	return cmd, nil
}

// suite is what the tests of one run share.
type suite struct {
	target    target
	java      bool
	scratch   string
	booting   chan struct{} // as many servers may start at a time as it has room: a JVM needs seconds of CPU
	once      sync.Once
	common    *server
	commonErr error
}

var run suite

func TestMain(m *testing.M) {
	flag.Parse()
	explicit := false
	flag.Visit(func(f *flag.Flag) { explicit = explicit || f.Name == "test.parallel" })
	if !explicit {
		_ = flag.Set("test.parallel", "12") // most rows wait for something rather than compute
	}
	os.Exit(run.main(m))
}

func (s *suite) main(m *testing.M) int {
	scratch, err := os.MkdirTemp("", "epitaph-wire-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make scratch directory:", err)
		return 1
	}
	defer os.RemoveAll(scratch)
	s.scratch, s.booting = scratch, make(chan struct{}, 3)
	switch name := os.Getenv("EPITAPH_WIRE_TARGET"); name {
	case "java":
		s.java, s.target = true, javaTarget{}
	case "", "epitaph":
	default:
		fmt.Fprintf(os.Stderr, "EPITAPH_WIRE_TARGET=%s: want java or epitaph\n", name)
		return 1
	}
	status := m.Run()
	if s.common != nil {
		s.common.Kill()
		if fault := s.common.fault(); fault != "" {
			fmt.Fprintln(os.Stderr, fault)
			return 1
		}
	}
	return status
}

// prepare has the binary built and starts the shared server, on the first test that needs a server.
func (s *suite) prepare() error {
	s.once.Do(func() {
		if s.java {
			s.commonErr = java.Available()
		} else {
			var binary string
			binary, s.commonErr = kit.TheBinary()
			s.target = epitaphTarget{binary}
		}
		if s.commonErr != nil {
			return
		}
		dir := filepath.Join(s.scratch, "shared")
		if s.commonErr = os.Mkdir(dir, 0o755); s.commonErr != nil {
			return
		}
		if s.common, s.commonErr = s.target.run(options{dir: dir, tls: true}); s.commonErr == nil {
			s.commonErr = s.common.await()
		}
	})
	return s.commonErr
}

func (s *suite) ready(t *testing.T) {
	t.Helper()
	err := s.prepare()
	if s.java && java.Available() != nil {
		java.Require(t)
	}
	if err != nil {
		t.Fatalf("shared server: %v", err)
	}
}

// shared is the server with default options that many rows use side by side: each takes names of its own, and
// none changes an option, creates the namespace ORDER_TOPIC_CONFIG or stops the server.
func shared(t *testing.T) *server {
	t.Helper()
	t.Parallel()
	run.ready(t)
	return run.common
}

// own is a server for one row alone.
func own(t *testing.T, o options) *server {
	t.Helper()
	t.Parallel()
	return start(t, o)
}

// start is own without marking the test parallel, for restarts and second servers.
func start(t *testing.T, o options) *server {
	t.Helper()
	run.booting <- struct{}{}
	defer func() { <-run.booting }()
	s := prepareServer(t, o)
	if err := s.await(); err != nil {
		t.Fatalf("start server: %v", err)
	}
	return s
}

// prepareServer starts a server without waiting for it, for starts that fail.
func prepareServer(t *testing.T, o options) *server {
	t.Helper()
	run.ready(t)
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	s, err := run.target.run(o)
	if err != nil {
		t.Fatalf("start server: %v", err)
	}
	t.Cleanup(func() { // runs when the server has been killed
		if fault := s.fault(); fault != "" {
			t.Error(fault)
		}
	})
	kit.KillAtEnd(t, "server", s.Process)
	return s
}

// fault is what a server should never print.
func (s *server) fault() string {
	for _, word := range []string{"DATA RACE", "panic", "goroutine 1 ["} {
		if i := strings.Index(s.Output(), word); i >= 0 {
			return "the server printed: " + s.Output()[max(0, i-200):min(len(s.Output()), i+4000)]
		}
	}
	return ""
}

// restart ends s by SIGTERM and starts another server on its files.
func (s *server) restart(t *testing.T) *server {
	t.Helper()
	s.Term()
	if _, err := s.Wait(kit.Patience); err != nil {
		t.Fatalf("end server: %v", err)
	}
	return start(t, options{dir: s.dir})
}

// deviation marks a test of a wanted deviation, such as DEV-2. body fails t when the situation
// cannot be made, and returns what was seen other than the wanted behaviour: that must be an error with the Java
// name server, and nil with ours.
func deviation(t *testing.T, rule string, body func() error) {
	t.Helper()
	err := body()
	switch {
	case run.java && err == nil:
		t.Fatalf("%s is no deviation: the Java name server does the same", rule)
	case run.java:
		t.Logf("%s, the Java name server: %v", rule, err)
	case err != nil:
		t.Fatalf("%s: %v", rule, err)
	}
}

// watched is how long a deviation is looked for: d with the Java name server, where it never comes; with ours, which has
// it within milliseconds, as long as a busy machine may need.
func watched(d time.Duration) time.Duration {
	if run.java {
		return d
	}
	return kit.Patience
}

// awaited is how long a deviation is waited for that only the Java name server shows: as long as it may need; with ours, where it never
// comes, d.
func awaited(d time.Duration) time.Duration {
	if run.java {
		return kit.Patience
	}
	return d
}

// eventually polls until check returns nil.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	kit.Await(t, limit, "it", check)
}

// steadily fails when check fails at any time during d.
func steadily(t *testing.T, d time.Duration, check func() error) {
	t.Helper()
	err := kit.Within(d, func() error {
		if check() == nil {
			return errors.New("so far so good")
		}
		return nil
	})
	if err == nil {
		t.Fatalf("did not stay so for %s: %v", d, check())
	}
}
