package routes

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Small worlds collide often.
var (
	someClusters = []string{"C1", "C1", "C1", "C2"}
	someNames    = []string{"a", "a", "b", "c"}
	someAddrs    = []string{"x", "y", "z"}
	someIDs      = []int64{0, 0, 1, 2, -1}
	someTopics   = []string{"t0", "t1", "t2", "t3", "rmq_sys_SYNC_BROKER_MEMBER_a"}
)

// machine drives a state and its twin with the same steps.
type machine struct {
	s      *state
	table  *Table // around s
	w      *twin
	now    clock.Stamp
	conns  []*Conn
	nextID uint64
	order  int
	bodies []Registration
	short  int // registrations that were not parsed

	serving []Serving // as of version
	version uint64
}

func newMachine(t *rapid.T) *machine {
	m := &machine{now: clock.Stamp{Raw: 1e9, Boot: 1e9}}
	m.s = newState(Options{}, 10*time.Minute, 1<<20)
	m.s.asideBudget = DefaultAsideBytes // what is set aside shows nowhere
	m.table = &Table{cfg: Config{Encode: plain}, st: m.s}
	m.w = newTwin(Options{}, 10*time.Minute)
	for range 6 {
		m.accept()
	}
	n := rapid.IntRange(2, 6).Draw(t, "bodies")
	for i := range n {
		m.bodies = append(m.bodies, drawBody(t, uint64(i)))
	}
	return m
}

func (m *machine) accept() *Conn {
	m.nextID++
	c := &Conn{
		ID: m.nextID, FirstByte: m.now, CanProve: m.nextID%5 != 0,
		Source: mq.Source{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(m.nextID / 2 % 3)}), Apart: m.nextID%11 == 0},
		Shared: m.nextID/2%3 == 2,
	}
	m.conns = append(m.conns, c)
	return c
}

func drawBody(t *rapid.T, n uint64) Registration {
	r := Registration{
		HasTopics:   rapid.IntRange(0, 9).Draw(t, "table") > 0,
		DataVersion: DataVersion{StateVersion: rapid.Int64Range(0, 1).Draw(t, "sv"), Counter: rapid.Int64Range(0, 2).Draw(t, "dv")},
		Print:       Fingerprint{Length: 1, Hash: n, Valid: true},
	}
	r.FreshVersion = rapid.IntRange(0, 9).Draw(t, "fresh") == 0
	if r.HasTopics {
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(someTopics), 0, 4, rapid.ID).Draw(t, "topics") {
			r.Topics = append(r.Topics, Topic{Name: []byte(name), Queue: drawQueue(t)})
		}
	}
	for range rapid.IntRange(0, 1).Draw(t, "mappings") {
		r.Mappings = append(r.Mappings, Mapping{
			Topic: rapid.SampledFrom(someTopics).Draw(t, "mapped"), Broker: rapid.SampledFrom(someNames).Draw(t, "bname"), Info: int(n),
		})
	}
	r.Filters.Valid = rapid.Bool().Draw(t, "filters")
	if r.Filters.Valid {
		r.Filters.Servers = rapid.SliceOfN(rapid.SampledFrom([]string{"f1", "f2"}), 0, 2).Draw(t, "servers")
	}
	return r
}

func drawQueue(t *rapid.T) Queue {
	perm := rapid.SampledFrom([]int32{6, 6, 7, 4, 2}).Draw(t, "perm")
	return Queue{Read: rapid.Int32Range(1, 2).Draw(t, "queues"), Write: 4, Perm: perm, SysFlag: 1}
}

func pick[E any](t *rapid.T, list []E, label string) E { return rapid.SampledFrom(list).Draw(t, label) }

func (m *machine) register(t *rapid.T) {
	body := rapid.IntRange(0, len(m.bodies)-1).Draw(t, "body")
	r := m.bodies[body]
	r.Cluster, r.Name, r.Addr, r.ID = pick(t, someClusters, "cluster"), pick(t, someNames, "name"), pick(t, someAddrs, "addr"), pick(t, someIDs, "id")
	r.HAAddr = mq.Some("ha" + r.Addr)
	r.Acting = pick(t, []Tri{Absent, False, True, True}, "acting")
	r.Zone = pick(t, []Opt{{}, mq.Some("z1")}, "zone")
	r.Timeout = pick(t, []Opt64{{}, {N: 1500, Valid: true}}, "timeout")
	r.Version = pick(t, []int32{300, 500}, "version")
	r.Language = pick(t, []uint8{0, 9}, "language")
	r.Conn = pick(t, m.conns, "conn")
	if r.FreshVersion {
		r.DataVersion.Timestamp = m.now.Boot
	}
	m.registerBoth(t, &r)
	for rapid.IntRange(0, 2).Draw(t, "again") == 0 { // what brokers do every 30 seconds
		m.registerBoth(t, &r)
	}
}

func (m *machine) registerBoth(t *rapid.T, r *Registration) {
	m.tick()
	m.order++
	head := *r
	head.HasTopics, head.Topics, head.DataVersion, head.FreshVersion, head.Mappings, head.Filters = false, nil, DataVersion{}, false, nil, Filters{}
	got, eff, ok := m.s.registerUnchanged(&head, m.now)
	if ok {
		m.short++
	} else {
		got, eff = m.s.register(r, comparison{}, m.now)
	}
	want, notes := m.w.register(r, m.now, m.order)
	equal(t, "answer", got, want)
	equal(t, "notifications", eff.Notify, notes)
	m.compare(t)
}

func (m *machine) tick() { m.now = m.now.Add(time.Millisecond) }

func (m *machine) unregister(t *rapid.T) {
	m.tick()
	u := Unregistration{
		Cluster: pick(t, someClusters, "cluster"), Name: pick(t, someNames, "name"), Addr: pick(t, someAddrs, "addr"),
		ID: pick(t, someIDs, "id"), Conn: pick(t, m.conns, "conn"), At: m.now,
	}
	left, eff := m.s.unregister(&u, m.now)
	want, notes := m.w.unregister(&u, m.now)
	equal(t, "leaving", left, want)
	equal(t, "notifications", eff.Notify, notes)
}

func (m *machine) connLost(t *rapid.T) {
	i := rapid.IntRange(0, len(m.conns)-1).Draw(t, "conn")
	id := m.conns[i].ID
	m.conns = slices.Delete(m.conns, i, i+1)
	m.accept()
	eff := m.s.connLost(id, m.now)
	equal(t, "notifications", eff.Notify, m.w.connLost(id, m.now))
}

func (m *machine) expire(t *rapid.T) {
	m.now = m.now.Add(pick(t, []time.Duration{time.Second, 2 * time.Second, 30 * time.Second, 59 * time.Second, 121 * time.Second}, "later"))
	eff := m.s.expire(m.now)
	notes, closed := m.w.expire(m.now)
	equal(t, "notifications", eff.Notify, notes)
	got := map[uint64]time.Duration{}
	for _, c := range eff.Close {
		got[c.Conn] = c.Silent
	}
	equal(t, "closed", got, closed)
	equal(t, "each once", len(eff.Close), len(closed))
}

func (m *machine) judge(t *rapid.T) {
	m.tick()
	key := tombstone.Key{Cluster: pick(t, someClusters, "cluster"), Addr: pick(t, someAddrs, "addr")}
	id := tombstone.Identity{
		Name: pick(t, someNames, "name"), BrokerID: pick(t, someIDs, "id"), RemoteIP: netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 1).Draw(t, "ip"))}),
	}
	if e := m.w.live(key); e != nil && rapid.IntRange(0, 3).Draw(t, "same") > 0 {
		first, second := e.shows()
		if second != nil && rapid.Bool().Draw(t, "hidden") {
			first = second
		}
		id = tombstone.Identity{Name: first.name, BrokerID: first.id, RemoteIP: first.owner.Source.Addr}
	}
	lo := tombstone.Bounds{
		Asked: m.now, HasLife: rapid.IntRange(0, 5).Draw(t, "life") > 0,
		Life: time.Duration(rapid.IntRange(0, 50).Draw(t, "L")) * time.Millisecond, Unregistered: time.Duration(rapid.IntRange(0, 20).Draw(t, "U")) * time.Millisecond,
	}
	v, eff := m.s.judge(key, id, lo, m.now)
	taken, evicted, notes := m.w.judge(key, id, lo, m.now)
	equal(t, "taken", v.Took(), taken)
	equal(t, "evicted", v.Outcome == tombstone.Evicted, evicted)
	equal(t, "notifications", eff.Notify, notes)
}

func (m *machine) vanish(t *rapid.T) {
	m.tick()
	v := Vanished{
		Key: tombstone.Key{Cluster: pick(t, someClusters, "cluster"), Addr: pick(t, someAddrs, "addr")},
		Identity: tombstone.Identity{
			Name: pick(t, someNames, "name"), BrokerID: pick(t, someIDs, "id"), RemoteIP: netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 1).Draw(t, "ip"))}),
		},
		Owner:   m.conns[rapid.IntRange(0, len(m.conns)-1).Draw(t, "conn")].ID,
		Silence: time.Duration(rapid.IntRange(0, 50).Draw(t, "silence")) * time.Millisecond, Still: func() bool { return true },
	}
	if e := m.w.live(v.Key); e != nil && rapid.IntRange(0, 3).Draw(t, "same") > 0 {
		first, second := e.shows()
		if second != nil && rapid.Bool().Draw(t, "hidden") {
			first = second
		}
		v.Identity = tombstone.Identity{Name: first.name, BrokerID: first.id, RemoteIP: first.owner.Source.Addr}
		v.Owner = first.owner.ID
	}
	taken, eff := m.s.vanish(&v, m.now)
	want, notes := m.w.vanish(&v, m.now)
	equal(t, "taken", taken, want)
	equal(t, "notifications", eff.Notify, notes)
}

func (m *machine) heartbeat(t *rapid.T) {
	m.tick()
	key := tombstone.Key{Cluster: pick(t, someClusters, "cluster"), Addr: pick(t, someAddrs, "addr")}
	e := m.w.live(key)
	if e != nil {
		e.seen = m.now
	}
	if rapid.Bool().Draw(t, "904") {
		equal(t, "known", m.s.heartbeat(key, m.now), e != nil)
		return
	}
	v := m.bodies[0].DataVersion
	stored, known, differs := m.s.queryDataVersion(key, &v, m.now)
	equal(t, "known", known, e != nil)
	equal(t, "changed", differs, e == nil || e.data != v)
	if known {
		equal(t, "stored", stored, e.data)
	}
}

func (m *machine) admin(t *rapid.T) {
	switch rapid.IntRange(0, 4).Draw(t, "admin") {
	case 0:
		name := pick(t, append(someNames, "none"), "name")
		n, _ := m.s.writePerm(name, false)
		equal(t, "wiped", n, m.w.writePerm(name, func(p int32) int32 { return p &^ 2 }))
	case 1:
		name := pick(t, someNames, "name")
		n, _ := m.s.writePerm(name, true)
		equal(t, "added", n, m.w.writePerm(name, func(int32) int32 { return 6 }))
	case 2:
		topic, cluster := pick(t, someTopics, "topic"), pick(t, []string{"", "C1", "C2", "none"}, "cluster")
		m.s.deleteTopic(topic, cluster)
		m.w.deleteTopic(topic, cluster)
	case 3:
		var queues []TopicQueue
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			queues = append(queues, TopicQueue{Broker: mq.Some(pick(t, someNames, "name")), Queue: drawQueue(t)})
		}
		topic := pick(t, someTopics, "topic")
		m.s.registerTopics(topic, queues, 0)
		m.w.registerTopics(topic, queues)
	case 4:
		o := Options{
			SupportActingMaster:  rapid.Bool().Draw(t, "supportActingMaster"),
			DeleteUnlistedTopics: rapid.IntRange(0, 3).Draw(t, "deleteTopicWithBrokerRegistration") == 0,
			NotifyMinBrokerID:    rapid.Bool().Draw(t, "notifyMinBrokerIdChanged"),
		}
		m.s.setOptions(o)
		m.w.opts = o
	}
}

func equal(t interface {
	Helper()
	Fatalf(string, ...any)
}, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// compare asks both everything there is to ask.
func (m *machine) compare(t *rapid.T) {
	t.Helper()
	if err := checkInvariants(m.s); err != nil {
		t.Fatalf("%v", err)
	}
	now := m.s.serving()
	if _, version, changed := m.table.Serving(m.version); changed {
		m.version = version
	} else {
		equal(t, "serving, at the same version", now, m.serving)
	}
	m.serving = now
	equal(t, "106", m.s.clusterInfo(), m.w.clusterInfo())
	got := m.s.allTopics()
	slices.Sort(got)
	equal(t, "206", got, slices.Sorted(maps.Keys(m.w.t)))
	for _, c := range []string{"C1", "C2", "none"} {
		list := m.s.topicsOfCluster(c)
		slices.Sort(list)
		equal(t, "224", list, m.w.topicsOfCluster(c))
	}
	for _, name := range someTopics {
		var r *Route
		if tp := m.s.lookup([]byte(name)); tp != nil {
			r = m.s.route(tp)
			slices.SortFunc(r.Filters, func(a, b FilterServers) int { return compareStrings(a.Addr, b.Addr) })
		}
		equal(t, "105 "+name, r, m.w.route(name))
		m.compareCached(t, name)
	}
	var lines []string
	for _, r := range m.s.registrations() {
		e := m.s.lives[tombstone.Key{Cluster: r.Cluster, Addr: r.Addr}]
		lines = append(lines, fmt.Sprint(e.key, r.Name, r.ID, r.LastSeen, r.LastRegister, r.Timeout, r.DataVersion, r.Owner.ID, e.ha, r.Superseded))
	}
	slices.Sort(lines)
	equal(t, "registrations", lines, m.w.registrations())
}

// compareCached asks as a client does, twice: a cached route must be the one that would be made now.
func (m *machine) compareCached(t *rapid.T, name string) {
	t.Helper()
	for range 2 {
		body, ok := m.table.Route([]byte(name), false)
		r, found := m.table.RouteInfo([]byte(name))
		if ok != found || ok && string(body) != string(plain(nil, r, false)) {
			t.Fatalf("cached route of %s: %s", name, body)
		}
	}
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// TestStateAgainstTwin runs random histories through the tables and through their obvious twin.
func TestStateAgainstTwin(t *testing.T) {
	short := 0
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"register":   m.register,
			"register2":  m.register,
			"register3":  m.register,
			"unregister": m.unregister,
			"connLost":   m.connLost,
			"expire":     m.expire,
			"judge":      m.judge,
			"vanish":     m.vanish,
			"heartbeat":  m.heartbeat,
			"admin":      m.admin,
			"":           m.compare,
		})
		short += m.short
	})
	if short == 0 {
		t.Fatal("no registration went without parsing: the short path was not tested")
	}
	t.Logf("%d registrations went without parsing", short)
}
