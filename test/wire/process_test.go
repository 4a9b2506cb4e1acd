package wire

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// outcome is how a command ended.
type outcome struct {
	status         int
	stdout, stderr string
}

// execute runs the original's command line until it ends by itself.
func execute(t *testing.T, dir string, env []string, args ...string) outcome {
	t.Helper()
	run.ready(t)
	cmd, err := run.target.command(dir, args...)
	kit.Must(t, err)
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	o := outcome{}
	var exit *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &exit):
		o.status = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	o.stdout, o.stderr = withoutLogging(stdout.String()), stderr.String()
	return o
}

// withoutLogging drops what the original's logging library says about itself.
func withoutLogging(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "|-INFO") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

const usage = `usage: mqnamesrv [-c <arg>] [-h] [-n <arg>] [-p]
 -c,--configFile <arg>    Name server config properties file
 -h,--help                Print help
 -n,--namesrvAddr <arg>   Name server address list, eg: '192.168.0.1:9876;192.168.0.2:9876'
 -p,--printConfigItem     Print all config items
`

// properties writes a -c file.
func properties(t *testing.T, dir string, props map[string]string) string {
	t.Helper()
	path := filepath.Join(dir, "ns.conf")
	kit.Must(t, java.WriteProperties(path, props))
	return path
}

func TestRow150HelpAndMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := execute(t, dir, nil, "-h")
	if o.status != 0 || strings.TrimSpace(o.stdout) != strings.TrimSpace(usage) {
		t.Errorf("-h: %+v", o)
	}
	o = execute(t, dir, nil, "-x")
	if all := o.stdout + o.stderr; o.status != 1 || !strings.Contains(all, "Unrecognized option: -x") || !strings.Contains(all, usage) {
		t.Errorf("-x: %+v", o)
	}
	o = execute(t, dir, []string{"ROCKETMQ_HOME=" + dir}, "-c", filepath.Join(dir, "missing.conf"))
	if o.status != 255 || !strings.Contains(o.stderr, "missing.conf") || o.stdout != "" {
		t.Errorf("missing file: %+v", o)
	}
	file := properties(t, dir, map[string]string{"listenPort": "0", "kvConfigPath": filepath.Join(dir, "kv.json")})
	o = execute(t, dir, nil, "-c", file)
	if o.status != 254 || o.stdout != "load config properties file OK, "+file+"\n"+
		"Please set the ROCKETMQ_HOME variable in your environment to match the location of the RocketMQ installation\n" {
		t.Errorf("no home: %+v", o)
	}
}

func TestRow150PrintConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := properties(t, dir, map[string]string{"waitSecondsForService": "47", "extra": "e", "connectTimeoutMillis": "4000"})
	o := execute(t, dir, nil, "-n", "127.0.0.1:1", "-p", "-c", file)
	if o.status != 0 {
		t.Fatalf("%+v", o)
	}
	var items []string
	for _, m := range regexp.MustCompile(`(?m) (\w+)=(.*?)\r?$`).FindAllStringSubmatch(o.stdout, -1) {
		items = append(items, m[1]+"="+m[2])
	}
	text := strings.Join(items, "\n")
	for _, item := range []string{"waitSecondsForService=47", "listenPort=9876", "bindAddress=0.0.0.0", "connectTimeoutMillis=4000",
		"isScanAvailableNameSrv=true", "configStorePath=" + file, "useTLS=false"} {
		has(t, "-p", text+"\n", item+"\n")
	}
	if strings.Contains(text, "extra=") || !strings.HasPrefix(text, "rocketmqHome=") {
		t.Errorf("items: %s", text)
	}
}

func TestRow150PortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	kit.Must(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dir := t.TempDir()
	file := properties(t, dir, map[string]string{"listenPort": port, "kvConfigPath": filepath.Join(dir, "kv.json")})
	o := execute(t, dir, []string{"ROCKETMQ_HOME=" + dir}, "-c", file)
	if o.status != 255 || !strings.Contains(o.stderr, "Failed to bind to") || !strings.Contains(o.stderr, "0.0.0.0:"+port) {
		t.Errorf("%+v", o)
	}
	if strings.Contains(o.stdout, "boot success") {
		t.Errorf("%+v", o)
	}
}

func TestRow151BootLine(t *testing.T) {
	s := own(t, options{})
	var lines []string
	for line := range strings.Lines(s.Output()) {
		if strings.Contains(line, "load config") || strings.Contains(line, "boot success") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	_, port, _ := net.SplitHostPort(s.addr)
	want(t, "lines", strings.Join(lines, "|"), "load config properties file OK, "+s.config+
		"|The Name Server boot success. serializeType=JSON, address 0.0.0.0:"+port)
}

func TestRow152ListenPortZero(t *testing.T) {
	s := own(t, options{properties: map[string]string{"listenPort": "0", "bindAddress": "127.0.0.1"}})
	has(t, "boot line", s.Output(), "address "+s.addr)
	s.dial(t).Usable()
	want(t, "319", s.dial(t).options()["listenPort"], strings.Split(s.addr, ":")[1])
}

func TestRow153DefaultKVPath(t *testing.T) {
	t.Parallel()
	run.ready(t)
	dir := t.TempDir() // is the home directory of the server's user
	kit.Must(t, os.MkdirAll(filepath.Join(dir, "namesrv"), 0o755))
	kv := filepath.Join(dir, "namesrv", "kvConfig.json")
	kit.Must(t, os.WriteFile(kv, []byte(`{"configTable":{"ns":{"k":"v"}}}`), 0o644))
	cmd, err := run.target.command(dir, "-c", properties(t, dir, map[string]string{"listenPort": "0"}))
	kit.Must(t, err)
	cmd.Env = append(cmd.Env, "ROCKETMQ_HOME="+dir)
	p := kit.Start(t, cmd)
	s := &server{Process: p}
	kit.Must(t, s.await())
	c := s.dial(t)
	want(t, "value", c.OK(getKV("ns", "k")).ExtFields["value"], "v")
	want(t, "319", c.options()["kvConfigPath"], kv)
}

// A shell starts what stands before "&" in a script with SIGINT ignored, and nohup does so with SIGHUP.
func TestRow168Signals(t *testing.T) {
	t.Parallel()
	for sig, want := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130, syscall.SIGHUP: 129} {
		s := start(t, options{})
		kit.Must(t, s.Signal(sig))
		if status, err := s.Wait(kit.Patience); err != nil || status != want {
			t.Errorf("%s: status %d, %v, want %d", sig, status, err, want)
		}
	}
}
