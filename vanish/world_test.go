package vanish

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// world is nodes and hosts in virtual time: the hosts' kernels answer as Linux does, messages among nodes take their time, and every eviction is
// judged by what nobody in it can know.
type world struct {
	rng      *rand.Rand
	now      time.Duration
	step     time.Duration
	nodes    []*wnode
	hosts    []*whost
	links    [][]*link // of node i to host j
	talk     [][]bool  // from node i to node j
	talkAt   [][]time.Duration
	hostLoss float64 // each way
	loss     float64 // among nodes
	udp      bool    // blocked among nodes
	delay    time.Duration
	mail     []letter
	after    time.Duration
	configs  func(i int, c *Config)
	wrong    []string
	nonces   uint64
	tellLate bool                                    // the tables know of a REGISTER before the rule does
	hears    func(from, to int, m Message) []Message // what becomes of a message
}

type wnode struct {
	*Node
	peer     Peer
	gone     bool          // its machine is dead
	asleep   bool          // suspended: its clocks go on
	rate     float64       // of its clocks
	skewed   time.Duration // since when,
	shown    time.Duration // and what they showed then
	missing  bool          // the others' membership takes it for dead
	next     time.Duration
	started  time.Duration
	evicted  map[int]time.Duration // hosts, newest time
	times    map[int]int           // evictions of each host
	takenOut map[int]time.Duration // hosts, newest time, refuted or not
	kept     map[Why]int
	events   map[EventKind]int
	by       map[string]int // refutations
	packets  int
	table    *routes.Table
	out      map[int]bool // hosts whose broker was taken out, is not put back and has not registered since
	back     map[int]int  // hosts whose broker was put back
	tells    []told       // REGISTERs that the tables have and the rule has not heard of yet
}

// told is a REGISTER that the rule hears of at a time.
type told struct {
	at    time.Duration
	claim Claim
}

type whost struct {
	up       bool
	since    time.Duration // up or down
	register time.Duration // next
	mute     bool          // its broker sends no REGISTER (it is frozen): its kernel answers
	gen      uint64
}

type link struct {
	up         bool          // both ways
	oneWay     bool          // what the node sends is lost; what the host sends arrives
	since      time.Duration // that it is
	flow       bool          // the old connection passes
	fresh      bool          // new connections pass
	answered   time.Duration // when the kernel answered on the old connection last
	heard      time.Duration // ACK or data at the node
	probes     uint8         // unanswered
	probe      time.Duration // next
	conn       uint64
	registered time.Duration // by the newest REGISTER
	truth      time.Duration // newest sign of life that reached the node by any way
	broke      time.Duration // when one came after a silence of D, last
}

type letter struct {
	at       time.Duration
	from, to int
	msg      Message
	stream   bool
}

const long = -time.Hour

func source(h int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(h >> 8), byte(h)}) }

func subject(h int) Subject {
	return Subject{Cluster: "c", Addr: source(h).String() + ":10911", Name: fmt.Sprintf("broker-%d", h), Source: source(h)}
}

func (w *world) at() clock.Stamp { return at(w.now) }

// here is the time by the clocks of node i.
func (w *world) here(i int) clock.Stamp {
	n := w.nodes[i]
	return at(n.shown + time.Duration(float64(w.now-n.skewed)*n.rate))
}

// ago is the time since t by the clocks of node i.
func (w *world) ago(i int, t time.Duration) time.Duration {
	return time.Duration(float64(w.now-t) * w.nodes[i].rate)
}

// skew lets both clocks of node i go at that rate, and its kernel's with them.
func (w *world) skew(i int, rate float64) {
	n := w.nodes[i]
	n.shown += time.Duration(float64(w.now-n.skewed) * n.rate)
	n.rate, n.skewed = rate, w.now
}

func newWorld(seed uint64, nodes, hosts int, change ...func(i int, c *Config)) *world {
	return worldOf(8*time.Second, seed, nodes, hosts, change...)
}

func worldOf(after time.Duration, seed uint64, nodes, hosts int, change ...func(i int, c *Config)) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), step: 50 * ms, delay: 5 * ms, after: after}
	w.configs = func(i int, c *Config) {
		for _, f := range change {
			f(i, c)
		}
	}
	for h := range hosts {
		w.hosts = append(w.hosts, &whost{up: true, since: long, register: time.Duration(w.rng.IntN(30000)) * ms, gen: uint64(h)})
	}
	for i := range nodes {
		w.nodes = append(w.nodes, nil)
		w.links = append(w.links, nil)
		w.talk, w.talkAt = append(w.talk, make([]bool, nodes)), append(w.talkAt, make([]time.Duration, nodes))
		for j := range nodes {
			w.talk[i][j], w.talkAt[i][j] = true, long
		}
		for range hosts {
			w.links[i] = append(w.links[i], &link{up: true, since: long, flow: true, fresh: true, answered: long, broke: long})
		}
		w.start(i, 1)
	}
	for i := range nodes {
		w.members(i)
		for h := range hosts {
			w.registers(i, h)
		}
	}
	w.run(40 * time.Second) // calibrated, and no longer young
	for _, n := range w.nodes {
		clear(n.events)
	}
	return w
}

// start begins a life of node i.
func (w *world) start(i int, boot uint64) {
	c := Config{Self: Peer{Name: fmt.Sprintf("n%d", i), Boot: boot}, Mode: On, After: w.after, Nonce: func() uint64 { w.nonces++; return w.nonces }}
	w.configs(i, &c)
	n, err := New(c, at(w.now))
	if err != nil {
		panic(err)
	}
	w.nodes[i] = &wnode{
		Node: n, peer: c.Self, rate: 1, skewed: w.now, shown: w.now, started: w.now, next: w.now + time.Duration(w.rng.IntN(5))*w.step,
		evicted: map[int]time.Duration{}, times: map[int]int{}, takenOut: map[int]time.Duration{}, kept: map[Why]int{}, events: map[EventKind]int{}, by: map[string]int{},
		out: map[int]bool{}, back: map[int]int{}, table: routes.New(routes.Config{Clock: func() clock.Stamp { return w.here(i) }, TombstoneTTL: tombstone.TTL, AsideBytes: routes.DefaultAsideBytes}),
	}
}

func (w *world) members(i int) {
	var living, missing []Peer
	for j, n := range w.nodes {
		switch {
		case j == i:
		case n.missing:
			missing = append(missing, n.peer)
		default:
			living = append(living, n.peer)
		}
	}
	w.nodes[i].Members(living, missing, len(w.nodes))
}

// miss lets the others take node i for dead, or find that it lives.
func (w *world) miss(i int, missing bool) {
	w.nodes[i].missing = missing
	for j := range w.nodes {
		w.members(j)
	}
}

// restart gives node i a new life that knows nothing.
func (w *world) restart(i int) {
	w.start(i, w.nodes[i].peer.Boot+1)
	for j := range w.nodes {
		w.members(j)
	}
	for h := range w.hosts {
		w.links[i][h].conn = 0
	}
}

func (w *world) lost(p float64) bool { return p > 0 && w.rng.Float64() < p }

// stream is for how long a stream is held up: by a lost SYN or SYN-ACK for a second, then two, then four; by a lost segment for 200 ms, then 400 ms.
// False: it is given up after ten seconds.
func (w *world) stream() (late time.Duration, ok bool) {
	syn, ack := func() bool { return w.lost(w.loss) }, func() bool { return w.lost(w.loss) }
	for again := time.Second; syn() || ack(); again *= 2 {
		if late += again; late >= 10*time.Second {
			return late, false
		}
	}
	for again := 200 * ms; w.lost(w.loss); again *= 2 {
		late += again
	}
	return late, true
}

// registers brings a REGISTER to node i, on the old connection if that passes.
func (w *world) registers(i, h int) {
	l, n := w.links[i][h], w.nodes[i]
	if n.gone || n.asleep || !l.up {
		return
	}
	if l.oneWay && (!l.flow || l.conn == 0) {
		return
	}
	if !l.flow || l.conn == 0 {
		if l.conn != 0 {
			n.table.ConnLost(l.conn)
			n.Closed(l.conn)
		}
		w.nonces++
		l.flow, l.conn, l.probes, l.answered, l.heard = true, w.nonces, 0, long, w.now
	}
	w.hosts[h].gen++
	w.sign(l)
	l.heard, l.registered, l.probes, l.probe = w.now, w.now, 0, w.now+2*time.Second
	c := Claim{subject(h), l.conn, w.hosts[h].gen}
	n.table.Register(&routes.Registration{
		Cluster: c.Cluster, Addr: c.Addr, Name: c.Name, HasTopics: true, Conn: &routes.Conn{ID: l.conn, FirstByte: w.here(i), Source: mq.Source{Addr: c.Source}},
	})
	delete(n.out, h)
	late := time.Duration(0)
	if w.tellLate {
		late = time.Duration(w.rng.IntN(6)) * w.step
	}
	n.tells = append(n.tells, told{w.now + late, c})
	w.tell(i)
}

// tell lets the rule at node i hear of what has been registered.
func (w *world) tell(i int) {
	n := w.nodes[i]
	for len(n.tells) > 0 && n.tells[0].at <= w.now {
		c := n.tells[0].claim
		n.tells = n.tells[1:]
		n.Registered(c, true, w.here(i))
		w.carry(i)
	}
}

// closes ends the connection of node i to host h by a FIN of its process, which is looked at.
func (w *world) closes(i, h int) {
	l, n := w.links[i][h], w.nodes[i]
	if n.gone || n.asleep || l.conn == 0 || !l.flow || !l.up || !w.hosts[h].up {
		return
	}
	w.sign(l)
	l.heard, l.probes = w.now, 0
	w.look(i, []uint64{l.conn})
	n.table.ConnLost(l.conn)
	n.Closed(l.conn)
	l.conn = 0
	w.carry(i)
}

// reaches says that a packet to host h by node i is answered.
func (w *world) reaches(i, h int, old bool) bool {
	l := w.links[i][h]
	if !w.hosts[h].up || !l.up || l.oneWay || old && !l.flow || !old && !l.fresh || w.lost(w.hostLoss) {
		return false
	}
	if old {
		if w.now-l.answered < 500*ms { // net.ipv4.tcp_invalid_ratelimit
			return false
		}
		l.answered = w.now
	}
	return !w.lost(w.hostLoss)
}

// sends lets the kernel of node i send a probe.
func (w *world) sends(i, h int) {
	l := w.links[i][h]
	l.probes++
	l.probe = w.now + time.Duration(float64(time.Second)/w.nodes[i].rate)
	if w.reaches(i, h, true) {
		w.sign(l)
		l.heard, l.probes, l.probe = w.now, 0, w.now+2*time.Second
	}
}

// sign notes that a sign of life has reached a node.
func (w *world) sign(l *link) {
	if w.now-l.truth >= w.after*5/8 {
		l.broke = w.now
	}
	l.truth = w.now
}

func (w *world) look(i int, conns []uint64) {
	for _, c := range conns {
		for h, l := range w.links[i] {
			if l.conn == c {
				w.nodes[i].Looked(c, Reading{Heard: w.ago(i, l.heard), Probes: l.probes}, w.here(i))
				_ = h
			}
		}
	}
}

func (w *world) run(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.now += w.step
		for h, s := range w.hosts {
			if s.up && !s.mute && w.now >= s.register {
				s.register = w.now + 30*time.Second
				for i := range w.nodes {
					if !w.lost(w.hostLoss * w.hostLoss * w.hostLoss) {
						w.registers(i, h)
					}
				}
			}
		}
		for i, n := range w.nodes {
			if n.gone || n.asleep {
				continue
			}
			for h, l := range w.links[i] {
				if l.conn != 0 && w.now >= l.probe {
					w.sends(i, h)
				}
			}
			w.tell(i)
			if w.now >= n.next {
				n.next = w.now + time.Duration(float64(Tick)/n.rate)
				w.look(i, n.Due(w.here(i)))
				n.Tick(w.here(i))
				w.carry(i)
			}
		}
		w.deliver()
	}
}

func (w *world) deliver() {
	var due []letter
	w.mail = slices.DeleteFunc(w.mail, func(l letter) bool {
		if l.at <= w.now {
			due = append(due, l)
			return true
		}
		return false
	})
	slices.SortStableFunc(due, func(a, b letter) int { return cmp.Compare(a.at, b.at) })
	for _, l := range due {
		n := w.nodes[l.to]
		if n.gone || n.asleep {
			continue
		}
		if q, ok := l.msg.(Query); ok {
			w.look(l.to, n.LooksFor(q))
		}
		n.Receive(l.msg, w.here(l.to))
		w.carry(l.to)
	}
}

// carry carries out what node i wants.
func (w *world) carry(i int) {
	n := w.nodes[i]
	out := n.Take()
	for _, c := range out.Probes {
		for h, l := range w.links[i] {
			if l.conn == c {
				w.sends(i, h)
			}
		}
	}
	for _, e := range out.Evict {
		h := slices.IndexFunc(w.hosts, func(s *whost) bool { return s == w.host(e.Subject) })
		l := w.links[i][h]
		taken, _ := n.table.Vanish(&routes.Vanished{
			Key:      tombstone.Key{Cluster: e.Cluster, Addr: e.Addr},
			Identity: tombstone.Identity{Name: e.Name, BrokerID: e.BrokerID, RemoteIP: e.Source}, Owner: e.Conn, Silence: e.After,
			Still: func() bool {
				return n.Pending(&e, w.here(i)) && e.Stands(Claim{subject(h), l.conn, e.Generation}, l.conn == e.Conn, Reading{Heard: w.ago(i, l.heard)})
			},
		})
		if taken != routes.NotTaken {
			w.oracle(i, h, e)
			n.evicted[h] = w.now
			n.out[h], n.takenOut[h] = true, w.now
			n.times[h]++
		}
		n.Took(e, taken != routes.NotTaken)
	}
	for _, r := range out.Restore {
		w.restore(i, &r)
	}
	for _, e := range out.Events {
		n.events[e.Kind]++
		switch e.Kind {
		case Kept:
			n.kept[e.Why]++
		case Refuted:
			n.by[e.By]++
			delete(n.evicted, slices.Index(w.hosts, w.host(e.Claim.Subject)))
		}
	}
	for _, p := range out.Packets {
		n.packets++
		to := slices.IndexFunc(w.nodes, func(o *wnode) bool { return o.peer == p.To })
		if to < 0 || !w.talk[i][to] || !p.Stream && (w.udp || w.lost(w.loss)) {
			continue
		}
		wait := time.Duration(w.rng.Int64N(int64(w.delay + 1)))
		if p.Stream {
			late, ok := w.stream()
			if !ok {
				continue
			}
			wait += late
		}
		msgs := []Message{p.Msg}
		if w.hears != nil {
			msgs = w.hears(i, to, p.Msg)
		}
		for _, m := range msgs {
			w.mail = append(w.mail, letter{w.now + p.After + wait, i, to, m, p.Stream})
		}
	}
	for _, c := range out.Connects {
		h := slices.IndexFunc(w.hosts, func(s *whost) bool { return s == w.host(Subject{Source: c.Source}) })
		outcome := Unanswered
		if w.reaches(i, h, false) {
			outcome = Answered
			w.sign(w.links[i][h])
		}
		n.Tried(c.Source, c.Try, outcome, w.here(i))
		w.carry(i)
	}
}

// restore lets the tables of node i put back, and judges that: only what no REGISTER has come for since it was taken out, and whose host was heard since
// on the connection that its last REGISTER came by, two minutes ago at most.
func (w *world) restore(i int, r *Restoration) {
	n, h := w.nodes[i], slices.IndexFunc(w.hosts, func(s *whost) bool { return s == w.host(r.Subject) })
	l := w.links[i][h]
	done, _ := n.table.Restore(&routes.Restoration{
		Key:      tombstone.Key{Cluster: r.Cluster, Addr: r.Addr},
		Identity: tombstone.Identity{Name: r.Name, BrokerID: r.BrokerID, RemoteIP: r.Source}, Owner: r.Conn,
		Alive: func() bool { return r.Stands(l.conn == r.Conn, Reading{Heard: w.ago(i, l.heard)}, w.here(i)) },
	})
	if done != routes.NotYet {
		n.Restored(r, done == routes.PutBack)
	}
	if done != routes.PutBack {
		return
	}
	n.back[h]++
	if !n.out[h] || l.conn != r.Conn || l.heard <= n.takenOut[h] || w.now-l.registered > 120*time.Second {
		w.wrong = append(w.wrong, fmt.Sprintf("%v: node %d puts host %d back (%+v): out %v by connection %d, heard at %v", w.now, i, h, r, n.out[h], l.conn, l.heard))
	}
	delete(n.out, h)
}

func (w *world) host(s Subject) *whost {
	b := s.Source.As4()
	return w.hosts[int(b[2])<<8|int(b[3])]
}

// oracle judges an eviction: E1 own silence and a quorum of nodes that heard nothing for D; E2 and E3 a node that heard the host within D, and a round trip
// ago, and can talk to the one that evicts, is heard.
func (w *world) oracle(i, h int, e Eviction) {
	say := func(f string, args ...any) {
		w.wrong = append(w.wrong, fmt.Sprintf("%v: node %d evicts host %d (%+v): ", w.now, i, h, e)+fmt.Sprintf(f, args...))
	}
	d := w.after * 5 / 8
	unheard := 0
	for j, n := range w.nodes {
		l := w.links[j][h]
		if w.now-l.truth >= d || w.now-l.broke <= time.Second { // an answer is at most a second old
			unheard++
		}
		both := w.talk[i][j] && w.talk[j][i] && w.now-max(w.talkAt[i][j], w.talkAt[j][i]) > 4*time.Second
		if j == i || n.gone || n.asleep || !both || w.now-n.started < 40*time.Second {
			continue
		}
		roundTrip := 2*w.delay + 2*Tick + w.step
		if w.loss > 0 || w.udp {
			roundTrip += time.Second
		}
		if ago := w.now - l.truth; ago > roundTrip && ago < d {
			say("node %d heard it %v ago", j, ago)
		}
	}
	if w.ago(i, w.links[i][h].truth) < w.after {
		say("it heard it itself %v ago by its clock", w.ago(i, w.links[i][h].truth))
	}
	if unheard < Quorum(len(w.nodes)) {
		say("only %d nodes did not hear it", unheard)
	}
	reach := 0
	for j := range w.nodes {
		if l := w.links[j][h]; l.up && w.now-l.since > w.after && l.conn != 0 && !l.fresh {
			reach++
		}
	}
	if s := w.hosts[h]; s.up && w.now-s.since > w.after && reach == len(w.nodes) {
		say("new connections were never answered, and it lives")
	}
}

// listed compares the tables with what was registered and evicted.
func (w *world) listed() {
	for i, n := range w.nodes {
		for h := range w.hosts {
			holds := n.table.Holds(tombstone.Key{Cluster: subject(h).Cluster, Addr: subject(h).Addr})
			if want := w.links[i][h].conn != 0 && !n.out[h]; holds != want {
				w.wrong = append(w.wrong, fmt.Sprintf("%v: node %d lists host %d: %v, want %v", w.now, i, h, holds, want))
			}
		}
	}
}

// die ends a host for good.
func (w *world) die(h int) { w.hosts[h].up, w.hosts[h].since = false, w.now }

func (w *world) rise(h int) { w.hosts[h].up, w.hosts[h].since = true, w.now }

// cut changes the path between node i and host h.
func (w *world) cut(i, h int, up bool) { w.links[i][h].up, w.links[i][h].since = up, w.now }

// part changes both ways between nodes.
func (w *world) part(i, j int, up bool) {
	w.talk[i][j], w.talk[j][i], w.talkAt[i][j], w.talkAt[j][i] = up, up, w.now, w.now
}
