package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// started is a command line that serves in this process.
type started struct {
	screen string // stdout up to the line that tells the address
	addr   string
	http   string   // empty where it is off
	log    *kit.Log // stderr
	status chan int
	rest   chan string // stdout behind screen
}

var httpLine = regexp.MustCompile(`(?m)^  http +(?:http://(\S+)|off)`)

var listening = regexp.MustCompile(`(?m)(?:listening +|address )(127\.0\.0\.1:\d+)`)

func start(t *testing.T, environ []string, args ...string) *started {
	t.Helper()
	out, stdout := io.Pipe()
	s := &started{log: &kit.Log{}, status: make(chan int, 1), rest: make(chan string, 1)}
	p := &program{stdout: stdout, stderr: s.log, environ: environ, newNode: newNode}
	go func() {
		s.status <- p.main(args)
		stdout.Close()
	}()
	lines := bufio.NewReader(out)
	serve := slices.Contains(args, "serve")
	for s.addr == "" || serve && !httpLine.MatchString(s.screen) {
		line, err := lines.ReadString('\n')
		s.screen += line
		if err != nil {
			t.Fatalf("not started: status %d, stdout %q, stderr %q", <-s.status, s.screen, s.log)
		}
		if m := listening.FindStringSubmatch(line); m != nil {
			s.addr = m[1]
		}
	}
	if m := httpLine.FindStringSubmatch(s.screen); m != nil {
		s.http = m[1]
	}
	go func() {
		rest, err := io.ReadAll(lines)
		if err != nil {
			t.Error(err)
		}
		s.rest <- string(rest)
	}()
	return s
}

// stop sends the signal that an operator would send and returns all of stdout.
func (s *started) stop(t *testing.T, signal syscall.Signal) string {
	t.Helper()
	return s.stopTo(t, signal, command.OK)
}

// stopTo is stop for what ends with another status.
func (s *started) stopTo(t *testing.T, signal syscall.Signal, want int) string {
	t.Helper()
	kit.Must(t, syscall.Kill(os.Getpid(), signal))
	if status := s.ended(t); status != want {
		t.Errorf("exit status %d, want %d, log %s", status, want, s.log)
	}
	return s.screen + <-s.rest
}

// ended is the exit status.
func (s *started) ended(t *testing.T) int {
	t.Helper()
	timer := time.NewTimer(kit.Patience)
	defer timer.Stop()
	select {
	case status := <-s.status:
		return status
	case <-timer.C:
		t.Fatalf("it did not end; log %s", s.log)
		return 0
	}
}

func connects(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func TestServeUntilSignal(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, []string{"EPITAPH_LISTN=x"}, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", data)
	if !connects(s.addr) {
		t.Error("does not listen")
	}
	screen := s.stop(t, syscall.SIGTERM)
	for _, want := range []string{"one node", data + "/kvConfig.json", data + "/namesrv.properties", "mqbroker -n " + s.addr} {
		if !strings.Contains(screen, want) {
			t.Errorf("%q is not on the screen:\n%s", want, screen)
		}
	}
	if connects(s.addr) {
		t.Error("listens after it ended")
	}
	if !strings.Contains(s.log.String(), "EPITAPH_LISTN") {
		t.Errorf("no warning of the stray variable: %s", s.log)
	}
}

// The first screen says of both files that they cannot be written.
func TestScreenOfFilesThatCannotBeWritten(t *testing.T) {
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", "/proc/nowhere")
	screen := strings.Join(strings.Fields(s.stop(t, syscall.SIGTERM)), " ")
	for _, file := range []string{"kvConfig.json", "namesrv.properties"} {
		if !strings.Contains(screen, "/proc/nowhere/"+file+" CANNOT BE WRITTEN, so changes are refused") {
			t.Errorf("not said of %s: %s", file, screen)
		}
	}
}

// Precedence: flag, environment, file.
func TestServePrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ns.conf")
	text := "listenPort=1\nbindAddress=192.0.2.1\nkvConfigPath=/nonexistent/kv\nwaitSecondsForService=1\nenableTopicList=false\n"
	kit.Must(t, os.WriteFile(file, []byte(text), 0o600))
	p := &program{stdout: io.Discard, stderr: io.Discard}
	s := usualSettings()
	s.config, s.data, s.set = file, "d", []string{"waitSecondsForService=2", "tls.server.mode=disabled"}
	cfg, _, err := p.serveConfig(s)
	kit.Must(t, err)
	o := cfg.Options
	if o.BindAddress != "127.0.0.1" || o.ListenPort != 0 || o.KVConfigPath != "d/kvConfig.json" || o.ConfigStorePath != file ||
		o.WaitSecondsForService != 2 || o.EnableTopicList || cfg.TLS.Mode != "disabled" {
		t.Errorf("%+v", cfg)
	}
}

func TestMQNamesrvUntilSignal(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ns.conf")
	text := "bindAddress=127.0.0.1\nlistenPort=0\nwaitSecondsForService=47 \nfoo=bar\n"
	kit.Must(t, os.WriteFile(file, []byte(text), 0o600))
	environ := []string{"ROCKETMQ_HOME=" + dir, "JAVA_OPT=-Xmx4g -Duser.home=" + dir, "ROCKETMQ_SERIALIZE_TYPE=ROCKETMQ"}
	s := start(t, environ, "epitaph", "mqnamesrv", "-c", file, "-n", "x:1", "positional")
	want := "load config properties file OK, " + file + "\nThe Name Server boot success. serializeType=ROCKETMQ, address " + s.addr + "\n"
	taken := strings.Split(s.addr, ":")[1]
	kit.Must(t, os.WriteFile(file+"2", []byte("bindAddress=127.0.0.1\nlistenPort="+taken), 0o600))
	var second strings.Builder
	p := &program{stdout: io.Discard, stderr: &second, environ: environ, newNode: newNode}
	if got := p.main([]string{"mqnamesrv", "-c", file + "2"}); got != mqFailed ||
		!strings.Contains(second.String(), "Failed to bind to "+s.addr) {
		t.Errorf("second server on the port: status %d, %s", got, second.String())
	}
	if got := s.stopTo(t, syscall.SIGINT, 130); got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	for _, want := range []string{"-Xmx4g", "-n has no effect", "blanks behind the value", "foo"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("%q is not in the log: %s", want, s.log)
		}
	}
}

// Where a KV store was lost, mqnamesrv starts empty with a warning, as the original, and serve does not start. Of a file of options
// that a change has not left whole mqnamesrv takes what it can read.
func TestLostKVConfig(t *testing.T) {
	dir := t.TempDir()
	bak, conf := filepath.Join(dir, "kvConfig.json.bak"), filepath.Join(dir, "ns.conf")
	for file, text := range map[string]string{
		bak:  `{"configTable":{"n":{"k":"v"}}}`,
		conf: "bindAddress=127.0.0.1\nlistenPort=0\nkvConfigPath=" + filepath.Join(dir, "kvConfig.json") + "\n\x00ther=1\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, []string{"ROCKETMQ_HOME=" + dir, "JAVA_OPT=-Duser.home=" + dir}, "epitaph", "mqnamesrv", "-c", conf)
	s.stopTo(t, syscall.SIGINT, 130)
	if !strings.Contains(s.log.String(), "level=WARN") || !strings.Contains(s.log.String(), bak) || !strings.Contains(s.log.String(), "configuration file is not whole") {
		t.Errorf("log: %s", s.log)
	}
	var told strings.Builder
	p := &program{stdout: io.Discard, stderr: &told, newNode: newNode}
	if got := p.main([]string{"epitaph", "serve", "--listen", "127.0.0.1:0", "--data", dir}); got != 1 || !strings.Contains(told.String(), "put it back (cp -p "+bak) {
		t.Errorf("serve ends with %d: %s", got, told.String())
	}
}

// SIGHUP reads the keys again, and says so or says why not. The node serves on.
func TestHangupReloadsKeys(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if _, err := gossip.GenerateKeyFile(keys); err != nil {
		t.Fatal(err)
	}
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", dir, "--gossip", "127.0.0.1:0",
		"--cluster", "c", "--gossip-key-file", keys)
	kit.Must(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	s.log.AwaitText(t, "msg=reloaded signal=hangup")
	kit.Must(t, os.WriteFile(keys, []byte("no key"), 0o600))
	kit.Must(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	s.log.AwaitText(t, "gossip keys not reloaded, the old ones stay in use")
	if !connects(s.addr) {
		t.Error("does not serve on")
	}
	s.stop(t, syscall.SIGTERM)
}

// SIGHUP reads the file of --config again: what can change does, what cannot is told, what is wrong changes nothing. A
// flag still wins. The level of the log is one of those that can.
func TestHangupReloadsTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ns.conf")
	write := func(text string) { kit.Must(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("enableTopicList=true\nlogLevel=error\nother=1\n")
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", filepath.Dir(file), "--config", file, "--set", "enableAllTopicList=false")
	listing := func() string {
		c := kit.Dial(t, s.addr)
		defer c.Close()
		return string(c.OK(kit.Request{Code: 319}).Body)
	}
	reloaded := func(lines ...string) {
		t.Helper()
		s.log.Take()
		kit.Must(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
		for _, line := range lines {
			s.log.AwaitText(t, line)
		}
	}
	if s.log.String() != "" {
		t.Errorf("logged below the level of the file: %s", s.log)
	}
	write("enableTopicList=false\nenableAllTopicList=true\nlogLevel=info\nserverSocketBacklog=7\nadded=2\n")
	reloaded("key=enableTopicList value=false before=true", "take effect at the next start\" keys=[serverSocketBacklog]", "msg=reloaded signal=hangup log_level=INFO")
	for _, want := range []string{"enableTopicList=false\n", "enableAllTopicList=false\n", "serverSocketBacklog=1024\n", "added=2\n"} {
		if !strings.Contains(listing(), want) {
			t.Errorf("no %q in %s", want, listing())
		}
	}
	if strings.Contains(listing(), "other=1") {
		t.Error("a key that the file no longer has is there")
	}
	write("enableTopicList=true\nlistenPort=x\n")
	reloaded("msg=\"not reloaded, everything stays as it was\" signal=hangup", "listenPort=")
	write("logLevel=loud\n")
	reloaded("logLevel, which is", "want debug, info, warn or error")
	if !strings.Contains(listing(), "enableTopicList=false\n") {
		t.Error("a file that is wrong was taken over in part")
	}
	s.stop(t, syscall.SIGTERM)
}

// In the place of the original SIGHUP ends the node in order, as it ends a Java NameServer, keys or not.
func TestHangupStopsMQNamesrv(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "ns.conf")
	kit.Must(t, os.WriteFile(conf, []byte("bindAddress=127.0.0.1\nlistenPort=0\nkvConfigPath="+filepath.Join(dir, "kvConfig.json")), 0o600))
	s := start(t, []string{"ROCKETMQ_HOME=" + dir, "JAVA_OPT=-Duser.home=" + dir}, "epitaph", "mqnamesrv", "-c", conf)
	s.stopTo(t, syscall.SIGHUP, 129)
}

// A drop-in node gossips and answers HTTP by the variables of serve; what it prints stays the original's.
func TestMQNamesrvGossipsByEnvironment(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ns.conf")
	kit.Must(t, os.WriteFile(file, []byte("bindAddress=127.0.0.1\nlistenPort=0\n"), 0o600))
	environ := []string{
		"ROCKETMQ_HOME=" + dir, "JAVA_OPT=-Duser.home=" + dir, "EPITAPH_GOSSIP=127.0.0.1:0", "EPITAPH_JOIN=127.0.0.1:1",
		"EPITAPH_CLUSTER=c", "EPITAPH_NAME=drop-in", "EPITAPH_HTTP=127.0.0.1:0",
	}
	s := start(t, environ, "mqnamesrv", "-c", file)
	s.log.AwaitText(t, "node drop-in of cluster c")
	s.log.AwaitText(t, "msg=http addr=127.0.0.1:")
	s.log.AwaitText(t, "nothing listens there")
	screen := s.stopTo(t, syscall.SIGTERM, 143)
	if strings.Contains(s.log.String(), "environment variable is not used") || strings.Count(screen, "\n") != 2 {
		t.Errorf("stdout %q, log %s", screen, s.log)
	}
	for _, environ := range [][]string{
		{"EPITAPH_CLUSTER=c"}, {"EPITAPH_GOSSIP=1.2.3.4:5", "EPITAPH_CLUSTER=c"}, {"EPITAPH_HTTP=x"},
		{"EPITAPH_GOSSIP=127.0.0.1:0", "EPITAPH_CLUSTER=c", "EPITAPH_GOSSIP_INSECURE=perhaps"},
		{"EPITAPH_GOSSIP=127.0.0.1:0", "EPITAPH_CLUSTER=c", "EPITAPH_READY_AFTER=soon"},
		{"EPITAPH_GOSSIP=127.0.0.1:0", "EPITAPH_CLUSTER=c", "EPITAPH_JOIN_WAIT=2h"},
	} {
		var errs strings.Builder
		p := &program{stdout: io.Discard, stderr: &errs, environ: append(environ, "ROCKETMQ_HOME="+dir), newNode: newNode}
		if status := p.main([]string{"mqnamesrv", "-c", file}); status != mqFailed || errs.Len() == 0 {
			t.Errorf("%v: status %d, %s", environ, status, errs.String())
		}
	}
}

// Three nodes that share a volume race for the key: each starts, one of them made it, all have the same one. The log
// goes where it was told to.
func TestServeCreatesKeyFile(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	settings := gossipSettings{bind: "0.0.0.0:0", cluster: "c", keyFile: keys, keyCreate: true}
	var nodes sync.WaitGroup
	for range 3 {
		nodes.Go(func() {
			if _, err := settings.config(); err != nil {
				t.Error(err)
			}
		})
	}
	nodes.Wait()
	first, err := os.ReadFile(keys)
	kit.Must(t, err)
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", dir, "--gossip", "127.0.0.1:0",
		"--cluster", "c", "--gossip-key-file", keys, "--gossip-key-create", "--log-to", "stdout")
	if screen := s.stop(t, syscall.SIGTERM); !strings.Contains(screen, "level=INFO") || s.log.String() != "" {
		t.Errorf("stdout %s, stderr %s", screen, s.log)
	}
	if again, err := os.ReadFile(keys); err != nil || string(again) != string(first) {
		t.Errorf("the key file changed from %q to %q, %v", first, again, err)
	}
}

func TestServeCreatesNoKeyFile(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	for args, want := range map[string]string{
		"--gossip 0.0.0.0:0 --cluster c --gossip-key-create":                                                "needs --gossip-key-file",
		"--gossip 0.0.0.0:0 --gossip-key-create --gossip-key-file " + keys:                                  "--cluster",
		"--gossip 0.0.0.0:0 --cluster c --gossip-key-create --gossip-key-file " + filepath.Join(dir, "x/y"): "--gossip-key-create",
		"--log-to /dev/null": "want stderr or stdout",
	} {
		var errs strings.Builder
		p := &program{stdout: io.Discard, stderr: &errs, newNode: newNode}
		if status := p.main(append([]string{"epitaph", "serve"}, strings.Fields(args)...)); status != command.Usage || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: status %d, %s", args, status, errs.String())
		}
	}
	if _, err := os.Stat(keys); err == nil {
		t.Error("a start that failed left a key file")
	}
}

// Where the log is JSON there is nothing but JSON: one line of it tells what the first screen tells.
func TestJSONStandsAlone(t *testing.T) {
	var stdout, stderr kit.Log
	p := &program{stdout: &stdout, stderr: &stderr, newNode: newNode}
	ended := make(chan int, 1)
	go func() {
		ended <- p.main([]string{"epitaph", "serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", t.TempDir(), "--log-format", "json"})
	}()
	stderr.Await(t, `"msg":"serving"`, `"version":"`, `"listen":"127.0.0.1:`, `"http":"127.0.0.1:`, `"tls":"permissive"`)
	kit.Must(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	if status := <-ended; status != command.OK || stdout.String() != "" {
		t.Errorf("status %d, and on stdout %q", status, stdout.String())
	}
	for line := range strings.Lines(stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

// A second SIGTERM ends every drain, however long it was to last.
func TestSecondSignalEndsTheDrain(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "ns.conf")
	kit.Must(t, os.WriteFile(conf, []byte("bindAddress=127.0.0.1\nlistenPort=0\nenableShutdownGracefully=true\nshutdownWaitTimeSeconds=2147483647\n"+
		"kvConfigPath="+filepath.Join(dir, "kv.json")), 0o600))
	for _, args := range [][]string{
		{"epitaph", "serve", "--listen", "127.0.0.1:0", "--data", dir, "--config", conf}, {"epitaph", "mqnamesrv", "-c", conf},
	} {
		s := start(t, []string{"ROCKETMQ_HOME=" + dir, "JAVA_OPT=-Duser.home=" + dir}, args...)
		kit.Must(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
		s.log.Await(t, "draining")
		kit.Must(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
		if status := s.ended(t); status != command.OK && status != mqSignalled+int(syscall.SIGTERM) {
			t.Errorf("%s: status %d", args[1], status)
		}
	}
}

// usualSettings are those of serve without a flag, at a free port of this machine.
func usualSettings() (s serveSettings) {
	serveFlags(&s)
	s.listen = "127.0.0.1:0"
	return s
}
