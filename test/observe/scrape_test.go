package observe

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
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
		kit.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	addr := kit.Loopback(kit.FreePort(t))
	kit.Start(t, exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr))
	p := &prometheus{"http://" + addr}
	for _, target := range targets {
		// Two scrapes, so that what is provoked from now on shows as an increase.
		kit.Await(t, patience, "Prometheus has scraped "+target+" twice", func() error {
			if got, why := p.query(`count_over_time(up{instance="` + target + `"}[5m]) > 1`); len(got) != 1 {
				return errors.New(why)
			}
			return nil
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

// fires says whether an alert fires of an instance, or where it is one of a whole cluster ("" as instance), of the test's.
func (p *prometheus) fires(alert, instance string) error {
	of := fmt.Sprintf("instance=%q", instance)
	if instance == "" {
		of = `instance="",gossip_cluster="test"`
	}
	if got, why := p.query(fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing",%s}`, alert, of)); len(got) == 0 {
		return errors.New(why)
	}
	return nil
}

func (p *prometheus) awaitFiring(t *testing.T, alert, instance string) {
	t.Helper()
	took := kit.Await(t, patience, alert+" fires for "+cmp.Or(instance, "the cluster"), func() error { return p.fires(alert, instance) })
	t.Logf("%s fires for %s after %v", alert, instance, took.Round(time.Millisecond))
}

// Alerts fire on a real scrape of real nodes, and none fires while all is well. Not made to happen here: a fault of the program
// (EpitaphPanic), a log without a reader, full shares, what befalls address servers, and certificates that expire.
func TestRealScrape(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short; make test has it")
	}
	require(t, "prometheus")
	binary := kit.Binary(t)
	n1, seed := kit.Gossiping(t, binary, "n1", t.TempDir(), "")
	n2, _ := kit.Gossiping(t, binary, "n2", t.TempDir(), seed)
	n3, _ := kit.Gossiping(t, binary, "n3", t.TempDir(), seed)
	alone := kit.Serve(t, binary, "alone", t.TempDir(), "--set", "needWaitForService=true", "--set", "waitSecondsForService=600")
	narrow := kit.Serve(t, binary, "narrow", t.TempDir(), "--set", "defaultThreadPoolNums=1", "--set", "defaultThreadPoolQueueCapacity=1")
	keyFile := filepath.Join(t.TempDir(), "gossip.key")
	keyed, _ := kit.Gossiping(t, binary, "keyed", t.TempDir(), "", "--cluster", "keyed", "--gossip-key-file", keyFile, "--gossip-key-create")
	damaged := t.TempDir()
	kit.Must(t, os.WriteFile(filepath.Join(damaged, "kvConfig.json.bak"), []byte("{}"), 0o600))
	lost, _ := kit.Gossiping(t, binary, "lost", damaged, kit.Loopback(kit.FreePort(t)), "--cluster", "lost", "--join-wait", "1s", "--kv-missing", "serve")
	kit.AwaitMembers(t, n1, n2, n3)
	resident := kit.NewBroker(t, "resident", "192.0.2.100:10911")
	resident.Register(t, n1.Addr, n2.Addr, n3.Addr, alone.Addr, narrow.Addr, keyed.Addr, lost.Addr)

	p := startPrometheus(t, n1.HTTP, n2.HTTP, n3.HTTP, alone.HTTP, narrow.HTTP, keyed.HTTP, lost.HTTP)
	p.awaitFiring(t, "EpitaphNotReady", alone.HTTP)
	p.awaitFiring(t, "EpitaphAlone", lost.HTTP)
	p.awaitFiring(t, "EpitaphKVMissing", lost.HTTP)
	kit.Await(t, patience, "nothing else fires while all is well", func() error {
		if got, why := p.query(`ALERTS{alertstate="firing",alertname!~"Epitaph(NotReady|Alone|KVMissing)"}`); !strings.HasPrefix(why, "ok") || len(got) > 0 {
			return errors.New(why)
		}
		return nil
	})
	p.board(t)

	bound := kit.Loopback(kit.FreePort(t))
	tcpOnly, _ := kit.Gossiping(t, binary, "tcp-only", t.TempDir(), seed, "--gossip", bound, "--advertise", kit.Forward(t, bound, kit.Bytes)) // no UDP: a firewall that forgot it
	p.awaitFiring(t, "EpitaphUDPBlocked", n1.HTTP)                                                                                            // nobody has left yet: probes tell

	resident.Register(t, tcpOnly.Addr)
	resident.HangUp(keyed.Addr)
	p.awaitFiring(t, "EpitaphNoBrokers", keyed.HTTP)
	kit.Dial(t, n1.Addr).OK(kit.Request{Code: 100, Ext: map[string]string{"namespace": "ns", "key": "k", "value": "v"}})
	p.awaitFiring(t, "EpitaphDrift", "") // nobody told the others of that value

	master := kit.NewBroker(t, "refused", "192.0.2.1:10911", "t1", "t2")
	master.Register(t, n1.Addr)
	slave := kit.NewBroker(t, "refused", "192.0.2.2:10911")
	slave.ID, slave.Topics = 1, slave.Topics[:1]
	if err := slave.TryRegister(n1.Addr); err == nil || !strings.Contains(err.Error(), "code 1") {
		t.Errorf("a slave with a single topic was not refused: %v", err)
	}
	p.awaitFiring(t, "EpitaphRegistrationRefused", n1.HTTP)
	p.awaitFiring(t, "EpitaphDivergence", "") // nobody told the others of that master

	brief := kit.NewBroker(t, "brief", "192.0.2.4:10911")
	registration := brief.Registration()
	registration.Ext["heartbeatTimeoutMillis"] = "1000"
	kit.Must(t, brief.Tell(n2.Addr, registration, patience))
	p.awaitFiring(t, "EpitaphBrokerExpired", n2.HTTP)

	kit.Must(t, os.WriteFile(keyFile, []byte("no key\n"), 0o600))
	p.awaitFiring(t, "EpitaphKeysRefused", keyed.HTTP)

	kit.NewBroker(t, "one-name", "192.0.2.3:10911").Register(t, n2.Addr)
	kit.NewBroker(t, "other-name", "192.0.2.3:10911").Register(t, n2.Addr)
	p.awaitFiring(t, "EpitaphConflict", n2.HTTP)

	crowd(t, narrow)
	p.awaitFiring(t, "EpitaphOverloaded", narrow.HTTP)

	var leavers []*kit.Broker
	for i := range 3 {
		name := fmt.Sprint("leaver", i)
		leaver := kit.NewBroker(t, name, fmt.Sprintf("192.0.2.%d:10911", 10+i))
		for _, n := range []*kit.Node{n1, n2, n3, tcpOnly} {
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
	leave := exodus(t, n1, 1_100)
	kit.Must(t, n3.Signal(syscall.SIGSTOP))
	leave()
	p.awaitFiring(t, "EpitaphBrokersDropped", n1.HTTP)
	p.awaitFiring(t, "EpitaphQueueFilling", n1.HTTP)
	flood(t, n1, seed)
	p.awaitFiring(t, "EpitaphGossipLost", n1.HTTP)

	n3.Kill()
	p.awaitFiring(t, "EpitaphMemberLost", n1.HTTP)
	p.awaitFiring(t, "EpitaphDown", n3.HTTP)
}

// crowd asks one node from many connections at once until it has refused one of them.
func crowd(t *testing.T, n *kit.Node) {
	t.Helper()
	topics := make([]string, 2_000)
	for i := range topics {
		topics[i] = fmt.Sprint("crowded", i)
	}
	kit.Await(t, patience, n.Name+" is overloaded", func() error {
		var group sync.WaitGroup
		for i := range 64 {
			b := kit.NewBroker(t, fmt.Sprint("crowd", i), fmt.Sprintf("192.0.3.%d:10911", i), topics...)
			group.Go(func() {
				defer b.Close()
				_ = b.TryRegister(n.Addr)
			})
		}
		group.Wait()
		if n.Metric("epitaph_overloads_total") == 0 {
			return errors.New("none refused")
		}
		return nil
	})
}

// exodus registers brokers at n, on one connection, and returns how all of them leave.
func exodus(t *testing.T, n *kit.Node, brokers int) (leave func()) {
	t.Helper()
	conn := kit.Dial(t, n.Addr)
	var departures []kit.Request
	for i := range brokers {
		b := kit.NewBroker(t, fmt.Sprint("exodus", i), fmt.Sprintf("198.18.%d.%d:10911", i/200, i%200))
		b.Use(n.Addr, conn)
		b.Register(t, n.Addr)
		departures = append(departures, b.Departure())
	}
	return func() {
		for _, departure := range departures {
			conn.OK(departure)
		}
	}
}

// flood sends messages of memberlist's kind, hundreds in each packet, until n has no room for them. at is where it gossips.
func flood(t *testing.T, n *kit.Node, at string) {
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
	kit.Must(t, err)
	defer conn.Close()
	const lost = `epitaph_gossip_lost_total{why="inbox_full"}`
	kit.Await(t, patience, n.Name+" has no room", func() error {
		for range 500 {
			_, _ = conn.Write(packet) // the kernel may have no room either
		}
		if n.Metric(lost) == 0 {
			return errors.New("none lost")
		}
		return nil
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
			} else if len(got) == 0 && !strings.Contains(expr, "epitaph_dead_host_") { // nobody watches hosts here
				empty = append(empty, panel.Title)
			}
		}
	}
	if len(empty) > 2 {
		t.Errorf("too much of the board is empty: %s", strings.Join(empty, "; "))
	}
}
