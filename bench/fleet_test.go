package bench

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// The k-th topic is asked for 1/k as often as the first.
func TestZipfHasExponentOne(t *testing.T) {
	const n, draws = 1000, 400_000
	z, count := newZipf(n, seeded()), make([]int, n)
	for range draws {
		count[z.draw()]++
	}
	sum := 0.0
	for k := range n {
		sum += 1 / float64(k+1)
	}
	for _, k := range []int{0, 1, 2, 9, 99} {
		want := draws / sum / float64(k+1)
		if got := float64(count[k]); got < 0.85*want || got > 1.15*want {
			t.Errorf("thing %d was drawn %v times, want about %.0f", k, got, want)
		}
	}
}

func TestTopicsOfAClientDiffer(t *testing.T) {
	const clients, each = 200, 20
	all := fleetTopics(clients, each, 2*each, seeded())
	for c := range clients {
		own := slices.Sorted(slices.Values(all[c*each : (c+1)*each]))
		if len(slices.Compact(own)) != each || int(own[each-1]) >= 2*each {
			t.Fatalf("client %d polls %v", c, own)
		}
	}
	if !slices.Equal(all, fleetTopics(clients, each, 2*each, seeded())) {
		t.Error("another plan from the same seed")
	}
}

// A plan holds each query once, in order of time, and the queries of a client a gap after each other.
func TestPlansAreWhole(t *testing.T) {
	const clients, each = 300, 7
	for name, at := range map[string]struct {
		plan []event
		turn time.Duration
	}{
		"steady": {steadyPlan(clients, each, 2*time.Second, seeded()), 2 * time.Second},
		"herd":   {herdPlan(clients, each, time.Second, seeded()), time.Second},
	} {
		if !slices.IsSortedFunc(at.plan, byTime) {
			t.Errorf("%s: not in order", name)
		}
		when := map[uint32]int64{}
		wrapped, late := 0, 0
		for _, e := range at.plan {
			if _, twice := when[e.what]; twice {
				t.Errorf("%s: query %d twice", name, e.what)
			}
			when[e.what] = int64(e.at)
			if time.Duration(e.at)*time.Microsecond >= at.turn {
				t.Errorf("%s: query %d after %d us", name, e.what, e.at)
			}
			if time.Duration(e.at)*time.Microsecond > at.turn/2 {
				late++
			}
		}
		for q := range uint32(clients * each) {
			if q%each == 0 {
				continue
			}
			switch gap := when[q] - when[q-1]; {
			case gap == queryGap.Microseconds():
			case gap == queryGap.Microseconds()-at.turn.Microseconds():
				wrapped++
			default:
				t.Fatalf("%s: query %d comes %d us after the one before it", name, q, gap)
			}
		}
		if name == "herd" && wrapped > 0 {
			t.Error("a herd's poll goes on at its beginning")
		}
		if share := float64(late) / float64(len(at.plan)); len(when) != clients*each || share < 0.4 || share > 0.6 {
			t.Errorf("%s: %d queries, %.2f of them in the second half", name, len(when), share)
		}
	}
}

// What was to be sent in the window counts, by when it was to be sent: not what was sent in it.
func TestMeterCountsFromTheIntendedStart(t *testing.T) {
	ms := func(n int64) int64 { return n * int64(time.Millisecond) }
	m := newMeter(ms(100), ms(200))
	m.sent(ms(99), ms(150)) // the generator was late; it belongs to the time before
	m.landed(ms(99), ms(160), true)
	m.sent(ms(100), ms(120))
	m.landed(ms(100), ms(140), true)
	m.sent(ms(199), ms(199))
	m.sent(ms(200), ms(200))
	if m.meant != 2 || m.answered != 1 || m.failed() != 1 || m.done(ms(201)) {
		t.Errorf("%+v", m)
	}
	if lag := m.lag.summary(); lag.Count != 2 || lag.Max < 19_900 || lag.Max > 20_300 {
		t.Errorf("lag %+v, want 20 ms and 0", lag)
	}
	if l := m.latency.summary(); l.Count != 1 || l.Max < 39_000 || l.Max > 41_000 {
		t.Errorf("latency %+v, want 40 ms: from the time when it was to be sent", l)
	}
	m.landed(ms(199), ms(199)+int64(clientPatience)+1, true)
	if m.slow != 1 || !m.done(ms(4000)) || m.done(ms(150)) {
		t.Errorf("%+v", m)
	}
	m.sent(ms(160), ms(160))
	if m.done(ms(4000)) {
		t.Error("done although an answer is due")
	}
	m.end(ms(99))
	if m.end(ms(160)); !m.done(ms(4000)) || m.failed() != 1 {
		t.Errorf("a lost connection: %+v", m)
	}
	m.sent(ms(150), ms(150))
	m.landed(ms(150), ms(151), false)
	if m.wrong != 1 || m.failed() != 2 || m.latency.summary().Count != 2 || !m.done(ms(4000)) {
		t.Errorf("a wrong answer: %+v", m)
	}
}

func TestServedCurveEndsWithTheLast(t *testing.T) {
	var served []int64
	for i := range int64(250) {
		served = append(served, int64(time.Second)*(1+i))
	}
	curve := servedCurve(served, 0, 500)
	if last := curve[len(curve)-1]; len(curve) != servedPoints || last != (ServedPoint{250, 50}) {
		t.Errorf("%d points, the last %+v", len(curve), last)
	}
	if got := servedCurve(served[:1], 0, 1); len(got) != 1 || got[0] != (ServedPoint{1, 100}) {
		t.Errorf("%+v", got)
	}
	if servedCurve(nil, 0, 1) != nil {
		t.Error("a curve of nobody")
	}
}

// A broker that is still missing is right while brokers register; one that does not belong there never is.
func TestPartialRoutes(t *testing.T) {
	p := Profile{Name: "p", Brokers: 3, Topics: 6, Width: 2}
	body := func(brokers ...int) []byte {
		var datas, queues []string
		for _, b := range brokers {
			a := p.addressesOf(b)[0]
			datas = append(datas, `{"brokerAddrs":{"0":"`+a.addr+`"},"brokerName":"`+a.broker+`","cluster":"`+clusterName+`"}`)
			queues = append(queues, `{"brokerName":"`+a.broker+`","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}`)
		}
		return []byte(`{"brokerDatas":[` + strings.Join(datas, ",") + `],"queueDatas":[` + strings.Join(queues, ",") + `]}`)
	}
	for _, partial := range []bool{false, true} {
		e := newExpectation(p)
		e.partial = partial
		for text, want := range map[string]bool{
			string(body(0, 1)): true, string(body(0)): partial, string(body(1)): partial, string(body(0, 2)): false, string(body(2)): false,
		} {
			if got := e.right(0, []byte(text)); got != want {
				t.Errorf("partial %v: %s is right: %v", partial, text, got)
			}
		}
	}
}

func TestFleetFaultsAreToldBeforeWork(t *testing.T) {
	c := DefaultFleetConfig()
	c.Target, c.Servers, c.Scenes, c.Clients = "127.0.0.1:1", []string{"nginx"}, []Scene{"lunch", SceneRestart}, []int{5, 2_000_000}
	c.Each, c.Period, c.Rounds, c.Profile.Topics = 20, time.Millisecond, 0, 30
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{
		"servers: these are started here", `servers: "nginx" is none of`, `scenes: "lunch" is none of`, "restart kills the server",
		"clients: 2000000 is not within 1 to 838860 (with 20 topics each)", "period: 1ms", "rounds: 0", "topics: 30 are too few",
	} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in %v", word, err)
		}
	}
	ok := DefaultFleetConfig()
	ok.Ours = []string{"epitaph"}
	kit.Must(t, ok.Validate())
}

// The limit of open files takes from the sizes, and says so.
func TestSizesFitTheOpenFiles(t *testing.T) {
	r := &fleetRun{config: DefaultFleetConfig(), report: &FleetReport{}, files: 6_000}
	kit.Must(t, r.fit())
	if want := []int{900, 1_000, 5_000, 5_400}; !slices.Equal(r.config.Clients, want) {
		t.Errorf("%v, want %v", r.config.Clients, want)
	}
	notes := strings.Join(r.report.Notes, "\n")
	for _, want := range []string{"15000 clients were asked for and 5400 are measured", "silent has 2700 clients instead of 5400", "ulimit -n"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q is not in %s", want, notes)
		}
	}
	r.files = fleetSpare + 1
	if n := r.withSilent(1); n != 1 {
		t.Errorf("silent with %d clients", n)
	}
	r.files = fleetSpare
	if err := r.fit(); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("no descriptor left: %v", err)
	}
}

func exampleFleet() *FleetReport {
	cell := func(scene Scene, clients int, values map[string][]float64) *FleetCell {
		return &FleetCell{Scene: scene, Clients: clients, Values: values, Curve: []CurvePoint{{50, 100}, {99, 200}}}
	}
	c := DefaultFleetConfig()
	returned := cell(SceneRestart, 15_000, map[string][]float64{fGap: {4}, fServed99: {27}, fLag: {1}})
	returned.Served = []ServedPoint{{20, 50}, {27, 100}}
	thrown := cell(SceneHerd, 15_000, map[string][]float64{fP99: {500, 700}, fLag: {4, 5}})
	thrown.Thrown = 1
	return &FleetReport{
		When: time.Unix(0, 0).UTC(), Rounds: 3, Clients: []int{900, 15_000}, Each: 20, Period: c.Period, Herd: 3 * time.Second, MaxLag: c.MaxLag, Profile: c.Profile, Storm: c.Storm,
		Notes:  []string{"silent has fewer clients"},
		Gossip: []GossipSize{{Brokers: 2, Topics: 10_000, BytesEach: 345}},
		Servers: []FleetServer{
			{Key: Ceiling, Title: "ceiling", Cells: []*FleetCell{cell(SceneSteady, 900, map[string][]float64{fCPU: {10}})}},
			{Key: JavaBig, Title: "Java", Cells: []*FleetCell{
				cell(SceneSteady, 900, map[string][]float64{fCPU: {200}}), cell(SceneHerd, 15_000, map[string][]float64{fP99: {1000}}),
				cell(SceneRestart, 15_000, map[string][]float64{fGap: {40}}),
			}},
			{Key: Rust, Title: "Rust", Limits: []string{"refuses further connections at 936 open ones (closed)"}},
			{Key: JavaSmall, Title: "Java small", Missing: "not installed"},
			{Key: Ours, Title: "epitaph", Cells: []*FleetCell{
				cell(SceneSteady, 900, map[string][]float64{fCPU: {18}, fCores: {0.01}, fRSS: {25}, fFiles: {910}, fP99: {2}}),
				cell(SceneSteady, 15_000, map[string][]float64{fCPU: {15, 16, 14}, fCores: {0.15}, fRSS: {100}, fBase: {22}, fP99: {2}, fFiles: {15_010}}),
				thrown, returned,
				cell(SceneStorm, 15_000, map[string][]float64{fP99: {5}, fPeak: {300}}),
				cell(sceneAfter, 15_000, map[string][]float64{fRSS: {280}, fCores: {0.2}, fFiles: {15_310}}),
			}},
		},
	}
}

// The page says what was reached, what was missed, and what is missing.
func TestFleetPage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fleet.md")
	kit.Must(t, exampleFleet().WriteDocument(path))
	page, err := os.ReadFile(path)
	kit.Must(t, err)
	for _, want := range []string{
		"| steady, 900 clients: CPU of each answer, of Java's | <= 0.125 x | 0.090 x | yes |",
		"| steady, 900 clients: CPU of each answer, of Rust's | <= 0.250 x | - | not measured |",
		"| steady, 900 clients: CPU of each answer, of the ceiling's | <= 1.60 x | 1.80 x | **no** |",
		"| steady, 15000 clients: RSS, base + 2.0 kB each + 20 MB | <= 71.3 MB | 100 MB | **no** |",
		"| herd, 15000 clients: p99, of Java's | <= 0.250 x | 0.600 x | **no** |",
		"| restart, 15000 clients: last REGISTER to last client's answer, of Java's | <= 0.200 x | 0.100 x | yes |",
		"| storm, 15000 clients: p99, of steady's | <= 2.00 x | 2.50 x | **no** |",
		"| storm, 15000 clients: RSS | <= 400 MB | 300 MB | yes |",
		"**Thrown away**: 1 of 3 rounds of herd with 15000 clients and epitaph, because the generator itself was more than 10ms late",
		"**Rust has a limit of its own**: it refuses further connections at 936",
		"**Java small is missing in this run**: not installed",
		"**Less than asked for**: silent has fewer clients",
		"within 3s",
		"| epitaph | 15000 | - | - | 2.00 | - | - | 15.0 [14.0-16.0] |",
		"| 2 | 10000 | 15000 | 100 | 0.150 | 15010 | 345 |",
		"| 300 | 100000 | 15000 | 280 | 0.200 | 15310 | - |",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	for _, name := range []string{"cpu", "memory", "steady", "herd", "storm", "restart"} {
		file := "fleet-" + name + ".svg"
		if _, err := os.Stat(filepath.Join(dir, "img", file)); err != nil || !strings.Contains(string(page), "!["+file+"](img/"+file+")") {
			t.Errorf("%s: %v", file, err)
		}
	}
	if strings.Contains(string(page), "fleet-reconnect.svg") {
		t.Error("a plot of what was not measured")
	}
	var empty bytes.Buffer
	kit.Must(t, (&FleetReport{}).WriteMarkdown(&empty))
}

// The table of sizes takes the place of the former one, wherever in its part that stands.
func TestSizesGoIntoTheirChapter(t *testing.T) {
	page := "# Running\n\n## Sizing\n\nRules of thumb.\n\n## Moving\n\nText.\n"
	first, err := withSizes(page, "| a |\n")
	kit.Must(t, err)
	if want := "# Running\n\n## Sizing\n\nRules of thumb.\n\n### Sizes, measured\n\n| a |\n\n## Moving\n\nText.\n"; first != want {
		t.Errorf("%q, want %q", first, want)
	}
	second, err := withSizes(first, "| b |")
	kit.Must(t, err)
	if want := strings.Replace(first, "| a |", "| b |", 1); second != want {
		t.Errorf("%q, want %q", second, want)
	}
	more, err := withSizes("\n## Sizing\n\nA.\n\n### Sizes, measured\n\nold\n\n### Other\n\nB.\n", "new")
	kit.Must(t, err)
	if want := "\n## Sizing\n\nA.\n\n### Other\n\nB.\n\n### Sizes, measured\n\nnew\n"; more != want {
		t.Errorf("%q, want %q", more, want)
	}
	if _, err := withSizes("# Another\n", "x"); err == nil {
		t.Error("put it nowhere")
	}
	path := filepath.Join(t.TempDir(), "operations.md")
	kit.Must(t, os.WriteFile(path, []byte(page), 0o644))
	kit.Must(t, exampleFleet().WriteSizes(path))
	text, err := os.ReadFile(path)
	kit.Must(t, err)
	if !strings.Contains(string(text), "| 2 | 10000 | 900 | 25.0 |") || !strings.HasSuffix(string(text), "\n\n## Moving\n\nText.\n") {
		t.Errorf("%s", text)
	}
	if err := (&FleetReport{}).WriteSizes(path); err == nil {
		t.Error("a table without figures")
	}
	for _, known := range []string{"", path} {
		if err := CheckOperations(known); err != nil {
			t.Errorf("%q: %v", known, err)
		}
	}
	kit.Must(t, os.WriteFile(path, []byte("# Another\n"), 0o644))
	for _, wrong := range []string{path, filepath.Join(t.TempDir(), "none.md"), t.TempDir()} {
		if err := CheckOperations(wrong); err == nil || !strings.Contains(err.Error(), "operations: ") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if err := exampleFleet().WriteSizes(filepath.Join(t.TempDir(), "none.md")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Each of many clients can have an address of its own.
func TestLoopbacks(t *testing.T) {
	const many = 70_000
	seen := map[string]bool{}
	for _, a := range loopbacks(many) {
		if !a.IP.IsLoopback() {
			t.Fatal(a)
		}
		seen[string(a.IP)] = true
	}
	if len(seen) != many {
		t.Errorf("%d addresses, want %d", len(seen), many)
	}
}
