package hostile

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// long is make hostile.
func long() bool { return os.Getenv("EPITAPH_HOSTILE") == "long" }

// attackTime is how long an attack lasts.
func attackTime() time.Duration {
	if long() {
		return 12 * time.Second
	}
	return time.Second
}

// bearable is how long a broker or a health check may wait. In make test many tests share the machine.
func bearable() time.Duration {
	if long() {
		return time.Second
	}
	return 5 * time.Second
}

// honest is a broker that registers every 20 ms on a connection of its own, and what it waited for the answers.
type honest struct {
	broker *kit.Broker
	addr   string
	waited []time.Duration
	err    error
	end    context.CancelFunc
	group  sync.WaitGroup
}

func newHonest(t *testing.T, addr string) *honest {
	h := &honest{broker: kit.NewBroker(t, "honest", "192.0.2.1:10911", "t1", "t2"), addr: addr}
	h.broker.Register(t, addr)
	return h
}

// begin registers until stop, which returns the times in order of size.
func (h *honest) begin(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h.end, h.waited = cancel, nil
	h.group.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil && h.err == nil {
			begin := time.Now()
			h.err = h.register(ctx)
			h.waited = append(h.waited, time.Since(begin))
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
}

// register waits until it is registered. The Java NameServer sends brokers away with code 2 when its queue is full; they come again.
func (h *honest) register(ctx context.Context) (err error) {
	for again := true; again; again = err != nil && strings.Contains(err.Error(), "code 2:") && ctx.Err() == nil {
		err = h.broker.Tell(h.addr, h.broker.Registration(), kit.Patience)
	}
	return err
}

func (h *honest) stop(t *testing.T) []time.Duration {
	t.Helper()
	h.end()
	h.group.Wait()
	kit.Must(t, h.err)
	slices.Sort(h.waited)
	return h.waited
}

func p99(sorted []time.Duration) time.Duration { return sorted[len(sorted)*99/100] }

// during is what an honest broker waits for its REGISTER while f runs.
func (h *honest) during(t *testing.T, f func()) time.Duration {
	t.Helper()
	h.begin(t)
	f()
	return p99(h.stop(t))
}

// atRest is what it waits for while nobody attacks.
func (h *honest) atRest(t *testing.T, d time.Duration) time.Duration {
	t.Helper()
	return h.during(t, func() { pause(t, d) })
}

// pause lets an attack go on for as long.
func pause(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// flood sends batches on n connections until the end of the attack, reads nothing, and closes them. What a connection of the
// number i sends first is made once.
func flood(t *testing.T, addr string, n int, batch func(i int) []byte) {
	t.Helper()
	end := time.Now().Add(attackTime())
	var group sync.WaitGroup
	for i := range n {
		c, err := dial(addr)
		kit.Must(t, err)
		group.Go(func() {
			defer c.Close()
			b := batch(i)
			_ = c.SetWriteDeadline(end)
			for time.Now().Before(end) {
				if _, err := c.Write(b); err != nil {
					return // nobody reads from it any more
				}
			}
		})
	}
	group.Wait()
}

// manyTopics registers brokers with 300,000 topics, or 20,000.
func manyTopics(t *testing.T, addr string) {
	t.Helper()
	brokers, each := 2, 10_000
	if long() {
		brokers, each = 6, 50_000
	}
	for i := range brokers {
		b := kit.NewBroker(t, fmt.Sprint("filled", i), fmt.Sprintf("192.0.2.2:%d", 1000+i))
		for k := range each {
			b.Topics = append(b.Topics, fmt.Sprintf("%s-%d-%d", strings.Repeat("x", 40), i, k))
		}
		b.Register(t, addr)
	}
}

// repeated is a frame of a request again and again.
func repeated(code, flag int, ext map[string]string) func(int) []byte {
	b := bytes.Repeat(kit.Request{Code: code, Flag: flag, Ext: ext}.Frame(1), 200)
	return func(int) []byte { return b }
}

// floods are what a stranger sends on twenty connections to keep brokers waiting.
var floods = map[string]func(int) []byte{
	"one-way lists":     repeated(206, 2, nil),
	"lists":             repeated(206, 0, nil),
	"wipes":             repeated(205, 2, map[string]string{"brokerName": "filled0"}),
	"heartbeats":        repeated(904, 2, map[string]string{"clusterName": "c", "brokerAddr": "a"}),
	"nothing for a sum": repeated(9999, 2, nil),
	"large registrations": func(i int) (all []byte) {
		for k := range 4 {
			topics := make([]string, 3000)
			for j := range topics {
				topics[j] = fmt.Sprintf("large-%d-%d-%d", i, k, j)
			}
			r := kit.Request{Code: 103, Flag: 2, Body: kit.RegisterBody(topics...), Ext: map[string]string{
				"brokerName": fmt.Sprint("large", i), "brokerAddr": fmt.Sprintf("192.0.2.3:%d", 1000+i), "clusterName": "large", "brokerId": "0", "compressed": "false",
			}}
			all = append(all, r.Frame(1)...)
		}
		return all
	},
}

// unheard are the floods of one-way requests that only an answer would come of, and how they would be counted if they were handled.
var unheard = map[string]string{"one-way lists": "206", "nothing for a sum": "other"}

// TestBrokersComeFirst: whatever others send, a broker's REGISTER is answered within what is bearable (p99), and is as before soon after the
// others have gone, with all that their sockets held. Long, the Java NameServer is asked beside ours where lists are concerned: where
// its brokers wait for longer than a second, ours wait for a twentieth of that at most. In make test the times
// notice only that all of it is gone: one-way lists then keep a broker waiting for a minute. Long, a missing gate for brokers is enough. That
// nothing is worked for whose answer nobody gets is counted. Each part by itself is held by the tests of node and remoting/rpc.
func TestBrokersComeFirst(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: the server is a process of its own, without the race detector; make test has it")
	}
	binary := kit.Binary(t)
	for name, batch := range floods {
		t.Run(name, func(t *testing.T) { // each at its own server: what was registered for the last one expires
			n := kit.Serve(t, binary, "attacked", t.TempDir())
			manyTopics(t, n.Addr)
			h := newHonest(t, n.Addr)
			rest := h.atRest(t, attackTime()/4)
			connections := 20
			if name == "heartbeats" && long() {
				connections = 300
			}
			most := h.during(t, func() {
				if long() {
					ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
					defer cancel()
					live := exec.CommandContext(ctx, binary, "health", "--live", "--listen", n.Addr)
					kit.Must(t, live.Start())
					defer func() {
						if err := live.Wait(); err != nil {
							t.Errorf("health --live meanwhile: %v", err)
						}
					}()
				}
				flood(t, n.Addr, connections, batch)
			})
			if long() {
				pause(t, 5*time.Second)
			}
			after := h.atRest(t, attackTime()/4)
			if code := unheard[name]; code != "" {
				_, metrics := kit.Get("http://" + n.HTTP + "/metrics")
				handled, err := kit.Series(metrics, `epitaph_requests_total{code="`+code+`"}`)
				kit.Must(t, err)
				if handled > 0 {
					t.Errorf("%g requests were handled whose answer nobody gets", handled)
				}
			}
			t.Logf("REGISTER p99 %s at rest, %s meanwhile, %s after", rest, most, after)
			if most > bearable() || after > max(4*rest, bearable()/4) {
				t.Errorf("too long")
			}
			if !long() || name != "one-way lists" && name != "wipes" || java.Available() != nil {
				return
			}
			theirs, _ := ofJava(t, java.NameServerOptions{}, func(addr string) { manyTopics(t, addr) }, func(j *java.NameServer) { flood(t, j.Addr, connections, batch) })
			compare(t, most, theirs)
		})
	}
}

// ofJava is what a broker waits for at the Java NameServer, which has a heap of 256 MB, and what that takes at most, in bytes.
func ofJava(t *testing.T, o java.NameServerOptions, prepare func(addr string), attack func(*java.NameServer)) (theirs time.Duration, peak int64) {
	t.Helper()
	j := java.StartNameServer(t, "5.5.0", o)
	defer j.Kill()
	prepare(j.Addr)
	h := newHonest(t, j.Addr)
	h.begin(t)
	attack(j)
	h.end()
	h.group.Wait()
	slices.Sort(h.waited)
	theirs = p99(h.waited)
	if h.err != nil { // it waited for as long as it may
		t.Logf("the Java NameServer: %v", h.err)
	}
	m := (&server{Node: &kit.Node{Process: j.Process}}).memory(t)
	t.Logf("the Java NameServer: REGISTER p99 %s, RSS %.0f MB at most", theirs, float64(m.peak)/1e6)
	return theirs, m.peak
}

func compare(t *testing.T, ours, theirs time.Duration) {
	t.Helper()
	if theirs > time.Second && ours > theirs/20 {
		t.Errorf("REGISTER p99 %s, more than a twentieth of Java's %s", ours, theirs)
	}
}

// largeStore is a kvConfig.json of 80 MB, or of 8.
func largeStore(t *testing.T) string {
	if long() {
		return storeOf(t, 80_000)
	}
	return storeOf(t, 8_000)
}

// storeOf is a kvConfig.json of so many values of 1 kB.
func storeOf(t *testing.T, entries int) string {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`{"configTable":{"n":{`)
	for i := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d":"%s"`, i, strings.Repeat("v", 1000))
	}
	b.WriteString(`}}}`)
	dir := t.TempDir()
	kit.Must(t, os.WriteFile(filepath.Join(dir, "kvConfig.json"), b.Bytes(), 0o600))
	return dir
}

// TestWritesToALargeStore: whoever changes a large KV store again and again keeps no broker waiting.
func TestWritesToALargeStore(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: the server is a process of its own, without the race detector; make test has it")
	}
	put := func(i int) []byte {
		value := strings.Repeat("w", 1000) // as long as what is there, so that no limit refuses it
		return kit.Request{Code: 100, Flag: 2, Ext: map[string]string{"namespace": "n", "key": fmt.Sprint(i), "value": value}}.Frame(1)
	}
	n := kit.Serve(t, kit.Binary(t), "attacked", largeStore(t), "--kv-store-max", "1000000")
	c := kit.Dial(t, n.Addr)
	c.OK(kit.Request{Code: 101, Ext: map[string]string{"namespace": "n", "key": "7"}})
	more := kit.Request{Code: 100, Ext: map[string]string{"namespace": "n", "key": "more", "value": "v"}}
	if a := c.Call(more); a.Code != 1 || !strings.Contains(a.Text(), "--kv-store-max") {
		t.Errorf("a value more: %s", a)
	}
	h := newHonest(t, n.Addr)
	rest := h.atRest(t, attackTime()/4)
	most := h.during(t, func() { flood(t, n.Addr, 20, put) })
	t.Logf("REGISTER p99 %s at rest, %s meanwhile", rest, most)
	if most > bearable() {
		t.Errorf("too long")
	}
	if !long() || java.Available() != nil {
		return
	}
	theirs, _ := ofJava(t, java.NameServerOptions{Dir: largeStore(t)}, func(string) {}, func(j *java.NameServer) { flood(t, j.Addr, 20, put) })
	compare(t, most, theirs)
}

// TestHealthIsAnswered: HTTP readers that do not read, connections that are kept, and halves of requests keep no health check waiting.
func TestHealthIsAnswered(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: the server is a process of its own, without the race detector; make test has it")
	}
	n := kit.Serve(t, kit.Binary(t), "attacked", t.TempDir())
	for i := range 100 {
		kit.NewBroker(t, fmt.Sprint("b", i), fmt.Sprintf("192.0.2.4:%d", 1000+i)).Register(t, n.Addr)
	}
	n.AwaitReady(t)
	for name, text := range map[string]string{
		"readers that do not read": strings.Repeat("GET /v1/brokers HTTP/1.1\r\nHost: x\r\n\r\n", 1000),
		"kept connections":         "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
		"health that nobody reads": strings.Repeat("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 20_000),
		"halves of requests":       "GET /readyz HTTP/1.1\r\nHost:",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), attackTime())
			defer cancel()
			var group sync.WaitGroup
			defer group.Wait()
			for i := range 300 {
				group.Go(func() { visitHTTP(ctx, n.HTTP, i, text) })
			}
			checks, most := 0, time.Duration(0)
			client := http.Client{Timeout: bearable(), Transport: &http.Transport{DisableKeepAlives: true}}
			for tick := time.NewTicker(50 * time.Millisecond); ctx.Err() == nil; <-tick.C {
				begin := time.Now()
				if status, body := kit.GetBy(&client, "http://"+n.HTTP+"/readyz"); status != http.StatusOK {
					t.Errorf("check %d: %d %s", checks, status, body)
				}
				checks, most = checks+1, max(most, time.Since(begin))
			}
			t.Logf("%d checks, %s at most", checks, most)
		})
	}
}

// visitHTTP connects from one of 40 addresses, says text, reads nothing, and comes again after a while.
func visitHTTP(ctx context.Context, addr string, i int, text string) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 3, byte(1+i%40))}}
	for ctx.Err() == nil {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.SetWriteDeadline(time.Now().Add(2 * time.Second))
		_, _ = c.Write([]byte(text))
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
		_ = c.Close()
	}
}
