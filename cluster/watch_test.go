package cluster

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/epitaph-mq/epitaph/api"
)

var (
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	key  = Key{Cluster: "C", Broker: "b", Addr: "10.0.0.9:10911"}
)

func registered(seen time.Time) api.Brokers {
	return api.Brokers{Total: 1, Brokers: []api.Broker{{
		Cluster: "C", Broker: "b", Addr: "10.0.0.9:10911", Since: noon.Add(-time.Minute), Registered: seen, Seen: seen,
		Expires: 120_000, Conn: 7,
	}}}
}

func tombstoneOf(origin string) api.Tombstone {
	return api.Tombstone{Cluster: "C", Broker: "b", Addr: "10.0.0.9:10911", Origin: origin}
}

func looks(b ...api.Brokers) []Look {
	var all []Look
	for i, one := range b {
		all = append(all, Look{Name: []string{"n1", "n2", "n3"}[i], Ready: true, Brokers: one})
	}
	return all
}

func states(w *Watch) (all []State) {
	for _, r := range w.Rows() {
		for _, c := range r.Cells {
			all = append(all, c.State)
		}
	}
	return all
}

// One leaves at n1, is evicted at n2 and was never at n3.
func TestWatchTellsWhyABrokerIsGone(t *testing.T) {
	w := &Watch{}
	none := api.Brokers{}
	w.Take(noon, looks(registered(noon), registered(noon), none))
	if got := states(w); !cmp.Equal(got, []State{Here, Here, Never}) {
		t.Fatalf("at first: %v", got)
	}
	at := noon.Add(2 * time.Second)
	l := looks(none, none, none)
	l[0].Tombstones.Own = []api.Own{
		{Tombstone: tombstoneOf("n1"), Left: at},
		{Tombstone: tombstoneOf("n1"), Left: noon.Add(-time.Hour)}, // of a former life
	}
	l[1].Tombstones.Decisions = []api.Decision{
		{Tombstone: tombstoneOf("n1"), At: at.Add(3 * time.Millisecond), Verdict: api.Verdict{Outcome: "evicted", Why: "evicted", AgeMS: 3}},
		{Tombstone: tombstoneOf("n1"), At: at, Verdict: api.Verdict{Outcome: "kept_no_proof_of_life", Why: "kept"}},
	}
	l[2].Tombstones.Decisions = []api.Decision{
		{Tombstone: tombstoneOf("n1"), At: at, Verdict: api.Verdict{Outcome: "not_held"}},
	}
	for range 3 {
		w.Take(at.Add(100*time.Millisecond), l)
	}
	if got := states(w); !cmp.Equal(got, []State{Left, Evicted, Never}) {
		t.Errorf("afterwards: %v", got)
	}
	want := []Departure{
		{Key: key, At: at, How: Left, Nodes: []string{"n1"}, Others: []Verdict{
			{Node: "n2", Evicted: true, Why: "evicted", After: 3 * time.Millisecond},
		}},
		{Key: key, At: noon.Add(-time.Hour), How: Left, Nodes: []string{"n1"}},
	}
	if diff := cmp.Diff(want, w.Departures()); diff != "" {
		t.Error(diff)
	}
	w.Take(at.Add(2*rowsGone), l)
	if rows := w.Rows(); len(rows) != 0 {
		t.Errorf("still shown: %+v", rows)
	}
}

// A connection that closed and silence leave no tombstone; a tombstone that shows a look later is no loss.
func TestWatchTellsLosses(t *testing.T) {
	none := api.Brokers{}
	w := &Watch{}
	silent := registered(noon)
	silent.Brokers[0].Expires = 100
	w.Take(noon, looks(registered(noon), silent, registered(noon)))
	at := noon.Add(time.Second)
	l := looks(none, none, none)
	w.Take(at, l)
	if got := states(w); !cmp.Equal(got, []State{Lost, Expired, Lost}) {
		t.Fatalf("%v", got)
	}
	if len(w.Departures()) != 0 {
		t.Error("told before it is sure")
	}
	l[2].Tombstones.Own = []api.Own{{Tombstone: tombstoneOf("n3"), Left: at}}
	for range 3 {
		w.Take(at.Add(time.Second), l)
	}
	if got := states(w); !cmp.Equal(got, []State{Lost, Expired, Left}) {
		t.Errorf("%v", got)
	}
	want := []Departure{
		{Key: key, At: at, How: Left, Nodes: []string{"n3"}},
		{Key: key, At: at, How: Lost, Nodes: []string{"n1"}},
		{Key: key, At: at, How: Expired, Nodes: []string{"n2"}},
	}
	byHow := cmpopts.SortSlices(func(a, b Departure) bool { return a.How < b.How })
	if diff := cmp.Diff(want, w.Departures(), byHow); diff != "" {
		t.Error(diff)
	}
	w.Take(at.Add(2*time.Second), looks(registered(at.Add(2*time.Second)), none, none))
	if got := states(w); !cmp.Equal(got, []State{Here, Expired, Left}) {
		t.Errorf("back: %v", got)
	}
}

// Nodes that take a host for vanished each for itself are told as one; who kept it at first is no false alarm, and who keeps what others hear is one.
func TestWatchTellsVanishedHosts(t *testing.T) {
	w := &Watch{}
	none := api.Brokers{}
	w.Take(noon, looks(registered(noon), registered(noon), registered(noon)))
	at := noon.Add(20 * time.Second)
	other := Key{Cluster: "C", Broker: "other", Addr: "10.0.0.8:10911"}
	l := looks(none, none, registered(noon))
	l[0].Hosts = []HostDecision{
		{Key: key, At: at.Add(time.Second), Evicted: true, Silence: 9 * time.Second},
		{Key: key, At: at, Why: "young", Silence: 8 * time.Second},
		{Key: key, At: noon.Add(-time.Hour), Evicted: true, Silence: 8 * time.Second}, // of a former life
	}
	l[1].Hosts = []HostDecision{{Key: key, At: at.Add(400 * time.Millisecond), Evicted: true, Silence: 8 * time.Second}}
	l[2].Hosts = []HostDecision{
		{Key: other, At: at.Add(time.Minute), Why: "contradicted", By: "n1", Silence: 8 * time.Second},
		{Key: other, At: at.Add(time.Minute - time.Second), Why: "braked", Silence: 8 * time.Second},
	}
	w.Take(at.Add(2*time.Second), l)
	if got := states(w); !cmp.Equal(got, []State{Vanished, Vanished, Here}) {
		t.Errorf("%v", got)
	}
	want := []Departure{
		{Key: other, At: at.Add(time.Minute - time.Second), How: Unheard, Nodes: []string{"n3"}, Silence: 8 * time.Second, Why: "contradicted", By: "n1"},
		{Key: key, At: at.Add(400 * time.Millisecond), How: Vanished, Nodes: []string{"n1", "n2"}, Silence: 8 * time.Second},
		{Key: key, At: noon.Add(-time.Hour), How: Vanished, Nodes: []string{"n1"}, Silence: 8 * time.Second},
	}
	if diff := cmp.Diff(want, w.Departures()); diff != "" {
		t.Error(diff)
	}
}
