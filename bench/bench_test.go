package bench

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestNumbersAreShort(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.586: "0.586", 1.2: "1.20", 12.34: "12.3", 123.4: "123", 9994: "9994", 10_000: "10.0 k", 97_600: "97.6 k",
		843_000: "843 k", 1_070_000: "1.07 M",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestSpreadIsTheMedianAndItsRange(t *testing.T) {
	if s := summarise([]float64{5, 1, 3, 9}); s.Median != 4 || s.Min != 1 || s.Max != 9 || s.N != 4 {
		t.Errorf("%+v", s)
	}
	if got := summarise([]float64{3, 1, 2}).String(); got != "2.00 [1.00-3.00]" {
		t.Error(got)
	}
	if got := (Spread{}).String(); got != "-" {
		t.Error(got)
	}
}

// A goal says whether it is reached, and one without figures says that instead.
func TestGoalsAreJudged(t *testing.T) {
	r := &CompareReport{When: time.Unix(0, 0).UTC(), Rounds: 1, CellTime: time.Second, Rates: map[string]float64{}, Servers: []ServerResult{
		{Key: Ceiling, Title: "ceiling", Values: map[string][]float64{cellDepth1 + "_per_s": {100}, cellDepth16 + "_per_s": {1000}}},
		{Key: Rust, Title: "rust", Missing: "not installed"},
		{Key: CeilingTLS, Title: "openssl", TLS: true, Values: map[string][]float64{cellDepth16 + "_per_s": {400}, cellDepth16 + "_cpu_us": {1}}},
		{Key: OursTLS, Title: "encrypted", TLS: true, Values: map[string][]float64{cellDepth16 + "_per_s": {300}, cellDepth16 + "_cpu_us": {2}}},
		{Key: Ours, Title: "epitaph", Values: map[string][]float64{
			cellDepth1 + "_per_s": {98}, cellDepth16 + "_per_s": {500}, mIdle: {14}, mLargeRSS: {200},
		}},
	}, Profiles: []CPUProfile{{Server: Ours, Depth: 16, CPU: 1.5, Shares: map[string]float64{"decoding": 0.25}}}}
	var b bytes.Buffer
	kit.Must(t, r.WriteMarkdown(&b))
	for _, want := range []string{
		"| route, depth 1, of the ceiling | >= 97.0 % | 98.0 % | yes |",
		"| route, depth 16, of the ceiling | >= 92.0 % | 50.0 % | **no** |",
		"| server CPU per query, depth 16, of the ceiling's | <= 1.40 x | - | not measured |",
		"| route over TLS, depth 16, of the ceiling over TLS | >= 70.0 % | 75.0 % | yes |",
		"| route over TLS, depth 1, of the ceiling over TLS | >= 60.0 % | - | not measured |",
		"|  | openssl | encrypted |",
		"| server CPU per query, depth 16, us | 1.00 | 2.00 |",
		"|  | ceiling | rust | epitaph |",
		"| of the CPU of a query | epitaph, depth 16 |",
		"| decoding | 25.0 % |",
		"| route, depth 1, against Rust | >= 2.50 x | - | not measured |",
		"| RSS idle | <= 15.0 MB | 14.0 MB | yes |",
		"| 100,000 topics of width 10, every route read once, RSS | <= 150 MB | 200 MB | **no** |",
		"**rust is missing in this run**: not installed",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no line %q in\n%s", want, b.String())
		}
	}
}

func TestFaultsAreToldBeforeWork(t *testing.T) {
	c := DefaultLoadConfig()
	c.Connections, c.Depth, c.Plot = 0, 65, "nowhere/at/all.svg"
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{"target: missing", "connections: 0", "depth: 65", "plot"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in %v", word, err)
		}
	}
	if _, err := RunLoad(t.Context(), c, nil); err == nil {
		t.Error("ran all the same")
	}
}

// A server that refuses connections beyond a number and goes on answering has a limit, and no failure.
func TestConnectionLimitIsAFigure(t *testing.T) {
	const limit = 40
	addr, _ := missServer(t, limit)
	broker, err := dialCaller(t.Context(), addr)
	kit.Must(t, err)
	defer broker.conn.Close()
	kit.Must(t, broker.probe())
	m := &measuring{
		comparison: &comparison{}, server: &child{target: target{addr: addr, pid: os.Getpid()}},
		session: &session{brokers: []*caller{broker}}, result: &ServerResult{Values: map[string][]float64{}},
	}
	kit.Must(t, m.idle(t.Context()))
	if got := m.result.Values[mIdleHeld]; len(got) != 1 || got[0] != limit-1 || !strings.Contains(m.result.Limit, "at 40 open ones") {
		t.Errorf("held %v, limit %q", got, m.result.Limit)
	}
}

// missServer answers every query with code 17, over at most limit connections at a time, and closes all of them when told.
func missServer(t *testing.T, limit int32) (addr string, drop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	t.Cleanup(func() { ln.Close() })
	var open atomic.Int32
	conns := make(chan net.Conn, 1024)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if open.Add(1) > limit {
				conn.Close()
				continue
			}
			conns <- conn
			go func() { answerMisses(conn); open.Add(-1) }()
		}
	}()
	return ln.Addr().String(), func() {
		for len(conns) > 0 {
			(<-conns).Close()
		}
	}
}

// answerMisses answers every frame with code 17 and its own opaque.
func answerMisses(conn net.Conn) {
	defer conn.Close()
	for {
		var length [4]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		at := bytes.Index(frame, []byte(opaqueName)) + len(opaqueName)
		conn.Write(appendFrame(nil, `{"code":17,"flag":1,"opaque":`+string(frame[at:at+opaqueDigits])+`}`, nil))
	}
}
