package observe

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

const patience = 2 * time.Minute

// prometheus is a running one that scrapes targets every second. Its rules are ours with every "for" cut to a second,
// for a test does not wait minutes; how long each really takes is tested by promtool.
type prometheus struct{ at string }

func startPrometheus(t *testing.T, targets ...string) *prometheus {
	t.Helper()
	program, dir := require(t, "prometheus"), t.TempDir()
	rules := regexp.MustCompile(`(?m)^( +)for: .*$`).ReplaceAllString(read(t, "observe", "rules.yml"), "${1}for: 1s")
	config := "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n" +
		"scrape_configs:\n  - job_name: epitaph\n    static_configs:\n      - targets: [\"" + strings.Join(targets, `", "`) + "\"]\n"
	for name, text := range map[string]string{"rules.yml": rules, "prometheus.yml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := kit.FreePort(t)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("prometheus: %s", text)
		}
	})
	p := &prometheus{"http://" + addr}
	for _, target := range targets {
		// Two scrapes, so that what is provoked from now on shows as an increase.
		kit.Await(t, patience, "Prometheus has scraped "+target+" twice", func() (bool, string) {
			got, why := p.query(`count_over_time(up{instance="` + target + `"}[5m]) > 1`)
			return len(got) == 1, why
		})
	}
	return p
}

type sample struct {
	Metric map[string]string
	Value  []any
}

// query returns what an expression yields; why is the answer as it came.
func (p *prometheus) query(expr string) (result []sample, why string) {
	status, body := kit.Get(p.at + "/api/v1/query?query=" + url.QueryEscape(expr))
	var a struct {
		Status string
		Data   struct{ Result []sample }
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || status != http.StatusOK || a.Status != "success" {
		return nil, fmt.Sprint(status, " ", body)
	}
	return a.Data.Result, "ok: " + body
}

func (p *prometheus) fires(alert, instance string) (bool, string) {
	got, why := p.query(fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing",instance=%q}`, alert, instance))
	return len(got) > 0, why
}

func (p *prometheus) awaitFiring(t *testing.T, alert, instance string) {
	t.Helper()
	took := kit.Await(t, patience, alert+" fires for "+instance, func() (bool, string) { return p.fires(alert, instance) })
	t.Logf("%s fires for %s after %v", alert, instance, took.Round(time.Millisecond))
}

// relay passes on TCP, and no UDP: what a firewall that forgot UDP does.
func relay(t *testing.T, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			go pipe(in, out)
			go pipe(out, in)
		}
	}()
	return l.Addr().String()
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
}

// Every alert fires on a real scrape of real nodes, and none fires while all is well.
func TestRealScrape(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	require(t, "prometheus")
	binary := kit.Build(t, kit.Root(t))
	n1, seed := kit.Gossiping(t, binary, "n1", t.TempDir(), "")
	n2, _ := kit.Gossiping(t, binary, "n2", t.TempDir(), seed)
	n3, _ := kit.Gossiping(t, binary, "n3", t.TempDir(), seed)
	alone := kit.Serve(t, binary, "alone", t.TempDir(), "--set", "needWaitForService=true", "--set", "waitSecondsForService=600")
	narrow := kit.Serve(t, binary, "narrow", t.TempDir(), "--set", "defaultThreadPoolNums=1", "--set", "defaultThreadPoolQueueCapacity=1")
	kit.AwaitMembers(t, n1, n2, n3)

	p := startPrometheus(t, n1.HTTP, n2.HTTP, n3.HTTP, alone.HTTP, narrow.HTTP)
	p.awaitFiring(t, "EpitaphNotReady", alone.HTTP)
	kit.Await(t, patience, "nothing else fires while all is well", func() (bool, string) {
		got, why := p.query(`ALERTS{alertstate="firing",alertname!="EpitaphNotReady"}`)
		return strings.HasPrefix(why, "ok") && len(got) == 0, why
	})
	p.board(t)

	bound := kit.FreePort(t)
	tcpOnly, _ := kit.Gossiping(t, binary, "tcp-only", t.TempDir(), seed, "--gossip", bound, "--advertise", relay(t, bound))
	p.awaitFiring(t, "EpitaphUDPBlocked", n1.HTTP) // nobody has left yet: probes tell

	master := kit.New("refused", "192.0.2.1:10911", "t1", "t2")
	master.Register(t, n1.Addr)
	slave := kit.New("refused", "192.0.2.2:10911")
	slave.ID, slave.Single = 1, true
	if answer, err := slave.TryRegister(t, n1.Addr); err != nil || answer.Code == 0 {
		t.Errorf("a slave with a single topic was not refused: %+v, %v", answer, err)
	}
	p.awaitFiring(t, "EpitaphRegistrationRefused", n1.HTTP)
	p.awaitFiring(t, "EpitaphDivergence", n1.HTTP) // nobody told the others of that master

	kit.New("one-name", "192.0.2.3:10911").Register(t, n2.Addr)
	kit.New("other-name", "192.0.2.3:10911").Register(t, n2.Addr)
	p.awaitFiring(t, "EpitaphConflict", n2.HTTP)

	crowd(t, narrow)
	p.awaitFiring(t, "EpitaphOverloaded", narrow.HTTP)

	var leavers []*kit.Broker
	for i := range 3 {
		name := fmt.Sprint("leaver", i)
		leaver := kit.New(name, fmt.Sprintf("192.0.2.%d:10911", 10+i))
		for _, n := range []*kit.Process{n1, n2, n3, tcpOnly} {
			leaver.Register(t, n.Addr)
		}
		leavers = append(leavers, leaver)
	}
	for _, leaver := range leavers {
		leaver.Unregister(t, n1.Addr)
	}
	for _, leaver := range leavers {
		kit.AwaitServes(t, patience, tcpOnly.Addr, leaver.Name, leaver.Addr, false) // told all the same

		// It left n1 and goes on at n2, on the very connection: as far as n2 can know, its eviction was wrong.
		kit.AwaitServes(t, patience, n2.Addr, leaver.Name, leaver.Addr, false)
		leaver.Register(t, n2.Addr)
	}
	kit.Gossiping(t, binary, "n2", t.TempDir(), seed)
	p.awaitFiring(t, "EpitaphNamesake", n2.HTTP)
	p.awaitFiring(t, "EpitaphEvictionRefuted", n2.HTTP)
	p.awaitFiring(t, "EpitaphEvictionsOnHold", n2.HTTP)

	// A member that stands still answers nobody, while a thousand brokers leave.
	n3.Signal(t, syscall.SIGSTOP)
	exodus(t, n1, 1_100)
	p.awaitFiring(t, "EpitaphQueueFilling", n1.HTTP)
	flood(t, n1, seed)
	p.awaitFiring(t, "EpitaphGossipLost", n1.HTTP)

	n3.Kill()
	p.awaitFiring(t, "EpitaphMemberLost", n1.HTTP)
	p.awaitFiring(t, "EpitaphDown", n3.HTTP)
}

// crowd asks one node from many connections at once until it has refused one of them.
func crowd(t *testing.T, n *kit.Process) {
	t.Helper()
	topics := make([]string, 2_000)
	for i := range topics {
		topics[i] = fmt.Sprint("crowded", i)
	}
	kit.Await(t, patience, n.Name+" is overloaded", func() (bool, string) {
		var group sync.WaitGroup
		for i := range 64 {
			b := kit.New(fmt.Sprint("crowd", i), fmt.Sprintf("192.0.3.%d:10911", i), topics...)
			group.Go(func() {
				defer b.Close()
				_, _ = b.TryRegister(t, n.Addr)
			})
		}
		group.Wait()
		refused := n.Metric("epitaph_overloads_total")
		return refused > 0, fmt.Sprint(refused, " refused")
	})
}

// exodus registers brokers at n and lets all of them leave.
func exodus(t *testing.T, n *kit.Process, brokers int) {
	t.Helper()
	conn, err := kit.Dial(n.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var all []*kit.Broker
	for i := range brokers {
		b := kit.New(fmt.Sprint("exodus", i), fmt.Sprintf("198.18.%d.%d:10911", i/200, i%200))
		b.Use(n.Addr, conn)
		b.Register(t, n.Addr)
		all = append(all, b)
	}
	for _, b := range all {
		b.Unregister(t, n.Addr)
	}
}

// flood sends messages of memberlist's kind, hundreds in each packet, until n has no room for them. at is where it gossips.
func flood(t *testing.T, n *kit.Process, at string) {
	t.Helper()
	const compound, user, each = 7, 8, 255
	packet := append([]byte("\xf4\x04test"), compound, each)
	for range each {
		packet = append(packet, 0, 2)
	}
	for range each {
		packet = append(packet, user, 0)
	}
	conn, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const lost = `epitaph_gossip_lost_total{why="inbox_full"}`
	kit.Await(t, patience, n.Name+" has no room", func() (bool, string) {
		for range 500 {
			_, _ = conn.Write(packet) // the kernel may have no room either
		}
		return n.Metric(lost) > 0, fmt.Sprint(n.Metric(lost), " lost")
	})
}

// board asks every expression of the board: each is understood, and those that show what always is have a value.
func (p *prometheus) board(t *testing.T) {
	t.Helper()
	empty := []string{}
	for _, panel := range readBoard(t).Panels {
		for _, target := range panel.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(target.Expr)
			got, why := p.query(expr)
			if !strings.HasPrefix(why, "ok") {
				t.Errorf("board, %s: %s", panel.Title, why)
			} else if len(got) == 0 {
				empty = append(empty, panel.Title)
			}
		}
	}
	if len(empty) > 2 {
		t.Errorf("too much of the board is empty: %s", strings.Join(empty, "; "))
	}
}
