package kit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTime bounds the start of a process.
const startTime = time.Minute

// Build compiles the program in dir, which is a checkout of it.
func Build(t testing.TB, dir string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "epitaph")
	if err := BuildTo(binary, dir); err != nil {
		t.Fatal(err)
	}
	return binary
}

// BuildTo compiles the program in dir, as a static binary.
func BuildTo(binary, dir string) error {
	cmd := exec.Command("go", "build", "-o", binary, ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", dir, err, out)
	}
	return nil
}

// Process is a running `epitaph serve`.
type Process struct {
	Name string
	Addr string // HOST:PORT for brokers and clients
	HTTP string // HOST:PORT
	cmd  *exec.Cmd
	out  *transcript
	done chan struct{}
}

type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var (
	listenLine = regexp.MustCompile(`(?m)^  listening +(\S+)`)
	httpLine   = regexp.MustCompile(`(?m)^  http +http://(\S+)`)
	screenEnd  = "Stop with Ctrl-C"
)

// Serve runs binary on free ports of loopback with HTTP on and waits for its first screen. It is killed when t ends.
func Serve(t testing.TB, binary, name, data string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, out: &transcript{}, done: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", data}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the state tells
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("output of %s:\n%s", name, p.Output())
		}
	})
	Await(t, startTime, name+" serves", func() (bool, string) {
		select {
		case <-p.done:
			t.Fatalf("%s ended: %s", name, p.Output())
		default:
		}
		return strings.Contains(p.Output(), screenEnd), p.Output()
	})
	p.Addr = listenLine.FindStringSubmatch(p.Output())[1]
	p.HTTP = httpLine.FindStringSubmatch(p.Output())[1]
	return p
}

// Gossiping is Serve with gossip, joined to seed (empty: the first node). It returns the gossip address too.
func Gossiping(t testing.TB, binary, name, data, seed string, args ...string) (*Process, string) {
	t.Helper()
	args = append([]string{"--gossip", "127.0.0.1:0", "--cluster", "test", "--name", name}, args...)
	if seed != "" {
		args = append(args, "--join", seed)
	}
	p := Serve(t, binary, name, data, args...)
	var m struct {
		Members []struct {
			Addr string
			Self bool
		}
	}
	p.JSON(t, "/v1/members", &m)
	for _, one := range m.Members {
		if one.Self {
			return p, one.Addr
		}
	}
	t.Fatalf("%s does not list itself: %+v", name, m)
	return nil, ""
}

// Output is everything it printed so far.
func (p *Process) Output() string { return p.out.String() }

// Signal sends it one.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
}

// Kill ends it without a word.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// Stop ends it in order and returns the exit status.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(startTime):
		t.Fatalf("%s does not stop: %s", p.Name, p.Output())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Get asks a node's HTTP, or anybody's. Status 0 is no answer.
func Get(url string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// JSON reads a path of the node's HTTP.
func (p *Process) JSON(t testing.TB, path string, into any) {
	t.Helper()
	status, body := Get("http://" + p.HTTP + path)
	if status != http.StatusOK {
		t.Fatalf("%s%s: %d %s", p.Name, path, status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%s%s: %v: %s", p.Name, path, err, body)
	}
}

// Metric is one line of /metrics, such as `epitaph_ready`; 0 where it is not there.
func (p *Process) Metric(series string) (value float64) {
	_, body := Get("http://" + p.HTTP + "/metrics")
	for _, line := range strings.Split(body, "\n") {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			_, _ = fmt.Sscan(rest, &value) // 0 where it is no number
		}
	}
	return value
}

// AwaitMembers waits until all see as many living members as there are.
func AwaitMembers(t testing.TB, all ...*Process) {
	t.Helper()
	for _, p := range all {
		Await(t, startTime, fmt.Sprintf("%s sees %d members", p.Name, len(all)), func() (bool, string) {
			got := p.Metric("epitaph_gossip_members")
			return int(got) == len(all), fmt.Sprint(got)
		})
	}
}

// FreePort is a port of loopback that nothing uses, for UDP and TCP, a moment ago.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp", addr)
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// Root is the repository, seen from a package below test.
func Root(t testing.TB) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return root
}
