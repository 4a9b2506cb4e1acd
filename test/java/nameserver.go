package java

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// bootLimit bounds the start of a name server on a busy machine; about two seconds on a quiet one.
const bootLimit = 5 * time.Minute

// NameServerOptions are what a test may choose; the zero value is a name server with default options on a free port.
type NameServerOptions struct {
	Port       int               // 0: any free one
	Dir        string            // home, configuration and stores; "": a temporary directory of the test
	Properties map[string]string // options of the -c file, beside listenPort and the store paths
	JVM        []string          // more JVM flags, e.g. -Dtls.server.mode=enforcing
	Env        []string          // more environment, NAME=value
	TLS        bool              // the port speaks TLS by its defaults, not only if JVM says so
}

// NameServer is a running Java name server.
type NameServer struct {
	*kit.Process
	Addr     string // 127.0.0.1:port
	Dir      string
	Config   string // the -c file, which code 318 rewrites
	KVConfig string // the KV store
}

var bootLine = regexp.MustCompile(`The Name Server boot success\. serializeType=(\w+)(?:, address \S+:(\d+))?`)

// StartNameServer runs the released name server of a version ("5.5.0", "4.9.7", ...) and waits for its boot line.
// It is killed when t ends. To restart one with its files, give the Dir of the first to the second.
func StartNameServer(t testing.TB, version string, o NameServerOptions) *NameServer {
	t.Helper()
	n := PrepareNameServer(t, version, o)
	if err := n.Await(); err != nil {
		t.Fatalf("start name server %s: %v", version, err)
	}
	return n
}

// PrepareNameServer is StartNameServer without waiting for the boot line, for tests of a start that fails.
// Addr is set by Await.
func PrepareNameServer(t testing.TB, version string, o NameServerOptions) *NameServer {
	t.Helper()
	Require(t)
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Port == 0 && strings.HasPrefix(version, "4.") { // its boot line does not name the port
		o.Port = kit.FreePort(t)
	}
	n, err := RunNameServer(version, o)
	if err != nil {
		t.Fatalf("run name server %s: %v", version, err)
	}
	kit.KillAtEnd(t, "name server "+version, n.Process)
	return n
}

// RunNameServer is PrepareNameServer without a test: Dir is mandatory, a 4.x version needs a Port, and the
// caller ends the name server with Kill.
func RunNameServer(version string, o NameServerOptions) (*NameServer, error) {
	n := &NameServer{
		Addr:     kit.Loopback(o.Port),
		Dir:      o.Dir,
		Config:   filepath.Join(o.Dir, "namesrv.conf"),
		KVConfig: filepath.Join(o.Dir, "kvConfig.json"),
	}
	if err := n.writeFiles(o); err != nil {
		return nil, err
	}
	jars, err := Fetch("rocketmq-namesrv", version)
	if err != nil {
		return nil, err
	}
	jvm := Flags(o.Dir, "256m")
	if o.TLS {
		jvm = slices.DeleteFunc(jvm, func(flag string) bool { return strings.HasPrefix(flag, "-Dtls.") })
	}
	n.Process, err = Run(Command{
		ClassPath: ClassPath(jars),
		JVM:       append(jvm, o.JVM...),
		Main:      "org.apache.rocketmq.namesrv.NamesrvStartup",
		Args:      []string{"-c", n.Config},
		Env:       append([]string{"ROCKETMQ_HOME=" + o.Dir}, o.Env...),
		Dir:       o.Dir,
	})
	return n, err
}

// Await waits for the boot line and sets Addr.
func (n *NameServer) Await() error {
	m, err := n.Line(bootLine, bootLimit)
	if err != nil {
		return err
	}
	if m[2] != "" {
		n.Addr = net.JoinHostPort("127.0.0.1", m[2])
	}
	return nil
}

// writeFiles writes the -c file unless the directory already has one and no properties are asked for (a restart
// keeps what code 318 stored), and the logging files that 4.9 wants.
func (n *NameServer) writeFiles(o NameServerOptions) error {
	if err := WriteLogback(o.Dir); err != nil {
		return err
	}
	if _, err := os.Stat(n.Config); err == nil && o.Properties == nil {
		return nil
	}
	props := map[string]string{"listenPort": strconv.Itoa(o.Port), "kvConfigPath": n.KVConfig}
	maps.Copy(props, o.Properties)
	return WriteProperties(n.Config, props)
}

// WriteProperties writes a Java properties file, sorted by key. Keys and values are written as they are.
func WriteProperties(path string, props map[string]string) error {
	var lines []string
	for k, v := range props {
		lines = append(lines, k+"="+v+"\n")
	}
	sort.Strings(lines)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
		return fmt.Errorf("write properties: %w", err)
	}
	return nil
}

// WriteLogback writes conf/logback_*.xml below a ROCKETMQ_HOME, without which 4.9 refuses to start.
func WriteLogback(home string) error {
	conf := filepath.Join(home, "conf")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return fmt.Errorf("make conf directory: %w", err)
	}
	const text = "<configuration><root level=\"WARN\"/></configuration>\n"
	for _, program := range []string{"broker", "namesrv", "tools"} {
		if err := os.WriteFile(filepath.Join(conf, "logback_"+program+".xml"), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write logging file: %w", err)
		}
	}
	return nil
}
