package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startTime bounds the start and the end of a node's process on a busy machine.
const startTime = time.Minute

// Node is a running `epitaph serve`.
type Node struct {
	*Process
	Name string
	Addr string // HOST:PORT for brokers and clients
	HTTP string // HOST:PORT
}

var (
	listenLine = regexp.MustCompile(`^  listening +(\S+)`)
	httpLine   = regexp.MustCompile(`^  http +(?:http://(\S+)|off)`)
	screenEnd  = regexp.MustCompile(`Stop with Ctrl-C`)
)

// Serve runs binary on free ports of loopback with HTTP on and waits for its first screen. It is killed when t ends.
func Serve(t testing.TB, binary, name, data string, args ...string) *Node {
	t.Helper()
	return serve(t, nil, binary, name, data, args...)
}

func serve(t testing.TB, env []string, binary, name, data string, args ...string) *Node {
	t.Helper()
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", data}, args...)
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), env...)
	n := &Node{Name: name, Process: Start(t, cmd)}
	if _, err := n.Line(screenEnd, startTime); err != nil {
		t.Fatalf("%s does not serve: %v", name, err)
	}
	for line, into := range map[*regexp.Regexp]*string{listenLine: &n.Addr, httpLine: &n.HTTP} {
		m, err := n.Line(line, startTime)
		if err != nil {
			t.Fatalf("first screen of %s: %v", name, err)
		}
		*into = m[1]
	}
	return n
}

// Launch starts something inside the test, a node or a part of one, and stops it in order when t ends.
func Launch(t testing.TB, s interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}) {
	t.Helper()
	Must(t, s.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// Gossiping is Serve with gossip, joined to seed (empty: the first node), and ready at once where nobody knows of brokers. It
// returns the gossip address too.
func Gossiping(t testing.TB, binary, name, data, seed string, args ...string) (*Node, string) {
	t.Helper()
	args = append([]string{"--gossip", "127.0.0.1:0", "--cluster", "test", "--name", name}, args...)
	if seed != "" {
		args = append(args, "--join", seed)
	}
	n := serve(t, []string{"EPITAPH_READY_AFTER=0s"}, binary, name, data, args...) // which a former program ignores
	return n, n.GossipAddr(t)
}

// GossipAddr is where its members reach it.
func (n *Node) GossipAddr(t testing.TB) string {
	t.Helper()
	var m struct {
		Members []struct {
			Addr string
			Self bool
		}
	}
	n.JSON(t, "/v1/members", &m)
	for _, one := range m.Members {
		if one.Self {
			return one.Addr
		}
	}
	t.Fatalf("%s does not list itself: %+v", n.Name, m)
	return ""
}

// Stop ends it in order and returns the exit status.
func (n *Node) Stop(t testing.TB) int {
	t.Helper()
	n.Term()
	status, err := n.Wait(startTime)
	if err != nil {
		t.Fatalf("stop %s: %v", n.Name, err)
	}
	return status
}

// JSON reads a path of the node's HTTP.
func (n *Node) JSON(t testing.TB, path string, into any) {
	t.Helper()
	if err := GetJSON("http://"+n.HTTP+path, into); err != nil {
		t.Fatalf("%s: %v", n.Name, err)
	}
}

// Metric is one series of the node's /metrics, such as `epitaph_ready`; 0 where it is not there.
func (n *Node) Metric(series string) float64 {
	_, body := Get("http://" + n.HTTP + "/metrics")
	value, _ := Series(body, series)
	return value
}

// AwaitReady waits until /readyz says so.
func (n *Node) AwaitReady(t testing.TB) {
	t.Helper()
	took := Await(t, 2*Patience, n.Name+" is ready", func() error { return Ready(n.HTTP) })
	t.Logf("%s was ready %v later", n.Name, took.Round(time.Millisecond))
}

// AwaitMembers waits until all see as many living members as there are.
func AwaitMembers(t testing.TB, all ...*Node) {
	t.Helper()
	for _, n := range all {
		Await(t, Patience, fmt.Sprintf("%s sees %d members", n.Name, len(all)), func() error {
			if got := n.Metric("epitaph_gossip_members"); int(got) != len(all) {
				return fmt.Errorf("it sees %v", got)
			}
			return nil
		})
	}
}

// Series is one series of a text of metrics, written as there: a name with its labels.
func Series(metrics, series string) (float64, error) {
	for line := range strings.Lines(metrics) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, errors.New("no series " + series)
}

// Ready asks the HTTP of a node; nil is ready.
func Ready(addr string) error {
	if status, body := Get("http://" + addr + "/readyz"); status != http.StatusOK {
		return fmt.Errorf("%d %s", status, body)
	}
	return nil
}

// Get asks a node's HTTP, or anybody's. Status 0 is no answer.
func Get(url string) (status int, body string) {
	return GetBy(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url)
}

// GetBy is Get by a client that may dial in its own way.
func GetBy(client *http.Client, url string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
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

// GetJSON reads what must be answered with status 200 and JSON.
func GetJSON(url string, into any) error {
	status, body := Get(url)
	if status != http.StatusOK {
		return fmt.Errorf("%s: %d %s", url, status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		return fmt.Errorf("%s: %w: %s", url, err, body)
	}
	return nil
}
