package cli

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// started is a command line that serves in this process.
type started struct {
	screen string // stdout up to the line that tells the address
	addr   string
	log    *strings.Builder // stderr; to be read after stop only
	status chan int
	rest   chan string // stdout behind screen
}

var listening = regexp.MustCompile(`(?m)(?:listening +|address )(127\.0\.0\.1:\d+)`)

func start(t *testing.T, environ []string, args ...string) *started {
	t.Helper()
	out, stdout := io.Pipe()
	s := &started{log: &strings.Builder{}, status: make(chan int, 1), rest: make(chan string, 1)}
	p := &program{stdout: stdout, stderr: s.log, environ: environ, newNode: newNode}
	go func() {
		s.status <- p.main(args)
		stdout.Close()
	}()
	lines := bufio.NewReader(out)
	for s.addr == "" {
		line, err := lines.ReadString('\n')
		s.screen += line
		if err != nil {
			t.Fatalf("not started: status %d, stdout %q, stderr %q", <-s.status, s.screen, s.log)
		}
		if m := listening.FindStringSubmatch(line); m != nil {
			s.addr = m[1]
		}
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
	if err := syscall.Kill(os.Getpid(), signal); err != nil {
		t.Fatal(err)
	}
	if status := <-s.status; status != exitOK {
		t.Errorf("exit status %d, log %s", status, s.log)
	}
	return s.screen + <-s.rest
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

// Precedence: flag, environment, file.
func TestServePrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ns.conf")
	text := "listenPort=1\nbindAddress=192.0.2.1\nkvConfigPath=/nonexistent/kv\nwaitSecondsForService=1\nenableTopicList=false\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &program{stdout: io.Discard, stderr: io.Discard}
	s := serveSettings{listen: "127.0.0.1:0", config: file, data: "d", set: []string{"waitSecondsForService=2", "tls.server.mode=disabled"}}
	cfg, _, err := p.serveConfig(s)
	if err != nil {
		t.Fatal(err)
	}
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
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"ROCKETMQ_HOME=" + dir, "JAVA_OPT=-Xmx4g -Duser.home=" + dir, "ROCKETMQ_SERIALIZE_TYPE=ROCKETMQ"}
	s := start(t, environ, "epitaph", "mqnamesrv", "-c", file, "-n", "x:1", "positional")
	want := "load config properties file OK, " + file + "\nThe Name Server boot success. serializeType=ROCKETMQ, address " + s.addr + "\n"
	taken := strings.Split(s.addr, ":")[1]
	if err := os.WriteFile(file+"2", []byte("bindAddress=127.0.0.1\nlistenPort="+taken), 0o600); err != nil {
		t.Fatal(err)
	}
	var second strings.Builder
	p := &program{stdout: io.Discard, stderr: &second, environ: environ, newNode: newNode}
	if got := p.main([]string{"mqnamesrv", "-c", file + "2"}); got != mqFailed ||
		!strings.Contains(second.String(), "Failed to bind to "+s.addr) {
		t.Errorf("second server on the port: status %d, %s", got, second.String())
	}
	if got := s.stop(t, syscall.SIGINT); got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	for _, want := range []string{"-Xmx4g", "-n has no effect", "blanks behind the value", "foo"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("%q is not in the log: %s", want, s.log)
		}
	}
}
