package routes

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

var update = flag.Bool("update", false, "write what happened into the scenario scripts")

// TestScripts runs testdata/*.txt. A line is a step; the lines below it that begin with "  " are what it answers. After
// each step all invariants are checked. The steps are the methods of stepper; testdata/README says how they read.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	kit.Must(t, err)
	var out strings.Builder
	p := newStepper()
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "  "):
			continue // the answer; it is written again below
		case strings.HasPrefix(line, "=="):
			p = newStepper()
		}
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "==") {
			continue
		}
		for _, answer := range p.step(t, fmt.Sprintf("%s:%d", file, i+1), line) {
			out.WriteString("  " + answer + "\n")
		}
		if err := checkInvariants(p.s); err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
	}
	if *update {
		kit.Must(t, os.WriteFile(file, []byte(out.String()), 0o666))
		return
	}
	equal(t, file, strings.Split(out.String(), "\n"), strings.Split(string(text), "\n"))
}

// stepper is one small world.
type stepper struct {
	s     *state
	now   clock.Stamp
	conns map[uint64]*Conn
	out   []string
}

func newStepper() *stepper {
	start := clock.Stamp{Raw: int64(time.Hour), Boot: int64(time.Hour)}
	p := &stepper{s: newState(Options{}, 10*time.Minute, 1<<20), now: start, conns: map[uint64]*Conn{}}
	p.s.asideBudget = DefaultAsideBytes
	return p
}

// args are the words of a step: plain ones in order, and key=value ones by key.
type args struct {
	t     *testing.T
	where string
	words []string
	named map[string]string
}

func (p *stepper) step(t *testing.T, where, line string) []string {
	a := &args{t: t, where: where, named: map[string]string{}}
	for _, w := range strings.Fields(line) {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.named[k] = v
		} else {
			a.words = append(a.words, w)
		}
	}
	verbs := map[string]func(*args){
		"conn": p.conn, "register": p.register, "repeat": p.repeat, "unregister": p.unregister, "lost": p.lost,
		"advance": p.advance, "expire": p.expire, "heartbeat": p.heartbeat, "version": p.version, "wipe": p.wipe,
		"add": p.add, "delete": p.delete, "topic": p.topic, "options": p.options, "judge": p.judge, "vanish": p.vanish, "restore": p.restore,
		"route": p.route, "clusters": p.clusters, "group": p.group, "lists": p.lists, "live": p.live,
	}
	verb := verbs[a.word(0)]
	if verb == nil {
		t.Fatalf("%s: no such step: %s", where, line)
	}
	p.out = nil
	p.now = p.now.Add(time.Millisecond)
	verb(a)
	return p.out
}

func (a *args) word(i int) string {
	if i >= len(a.words) {
		a.t.Fatalf("%s: too few words", a.where)
	}
	return a.words[i]
}

func (a *args) get(key, otherwise string) string {
	if v, ok := a.named[key]; ok {
		return v
	}
	return otherwise
}

func (a *args) opt(key string) Opt {
	v, ok := a.named[key]
	return Opt{S: v, Valid: ok}
}

func (a *args) num(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		a.t.Fatalf("%s: %v", a.where, err)
	}
	return n
}

func (a *args) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		a.t.Fatalf("%s: %v", a.where, err)
	}
	return d
}

// queue reads "read:write:perm:flag", from the left, with the defaults 8:8:6:0.
func (a *args) queue(parts []string) Queue {
	n := [4]int32{8, 8, 6, 0}
	for i, part := range parts {
		n[i] = int32(a.num(part))
	}
	return Queue{Read: n[0], Write: n[1], Perm: n[2], SysFlag: n[3]}
}

// data reads "stateVersion.counter" or "counter".
func (a *args) data() DataVersion {
	sv, counter, both := strings.Cut(a.get("dv", "1"), ".")
	if !both {
		sv, counter = "0", sv
	}
	return DataVersion{StateVersion: a.num(sv), Counter: a.num(counter), Timestamp: a.num(a.get("ts", "0"))}
}

func list(text string) []string {
	if text == "" || text == "none" {
		return nil
	}
	return strings.Split(text, ",")
}

func (p *stepper) say(format string, args ...any) {
	p.out = append(p.out, fmt.Sprintf(format, args...))
}

func (p *stepper) effects(eff Effects) {
	for _, e := range eff.Events {
		text := fmt.Sprintf("event: %v", e.Kind)
		if e.Topic != "" {
			text += " " + e.Topic
		} else {
			text += fmt.Sprintf(" %s %d %s", e.Name, e.ID, e.Addr)
		}
		if e.Old != "" {
			text += " was " + e.Old
		}
		if e.Kind == BrokerMoved {
			text += fmt.Sprintf(" was %d", e.OldID)
		}
		if n := e.Added + e.Changed + e.Erased; n > 0 {
			text += fmt.Sprintf(" +%d ~%d -%d", e.Added, e.Changed, e.Erased)
		}
		p.say("%s", text)
	}
	for _, n := range eff.Notify {
		p.say("notify %v: min %d %s offline %s ha %s", n.Receivers, n.MinID, n.MinAddr, show(n.Offline), show(n.HA))
	}
	for _, c := range eff.Close {
		if c.Silent > 0 {
			p.say("close conn %d if silent for %v", c.Conn, c.Silent)
		} else {
			p.say("close conn %d", c.Conn)
		}
	}
}

func show(o Opt) string {
	if !o.Valid {
		return "-"
	}
	return strconv.Quote(o.S)
}

func (p *stepper) connOf(a *args) *Conn {
	id := uint64(a.num(a.get("conn", "1")))
	if p.conns[id] == nil {
		p.conns[id] = &Conn{
			ID: id, FirstByte: p.now, CanProve: true, Source: mq.Source{Addr: netip.AddrFrom4([4]byte{10, 9, 9, 9})},
		}
	}
	return p.conns[id]
}

func (p *stepper) conn(a *args) {
	ip, err := netip.ParseAddr(a.get("ip", "10.9.9.9"))
	if err != nil {
		a.t.Fatal(err)
	}
	id := uint64(a.num(a.word(1)))
	p.conns[id] = &Conn{
		ID: id, FirstByte: p.now, CanProve: a.get("proof", "yes") == "yes",
		Source: mq.Source{Addr: ip, Apart: a.get("header", "") != ""}, Shared: a.get("shared", "") != "",
	}
}

func (p *stepper) registration(a *args) *Registration {
	r := &Registration{
		Name: a.word(1), ID: a.num(a.word(2)), Addr: a.word(3), Cluster: a.get("cluster", "C1"), HAAddr: a.opt("ha"),
		Zone: a.opt("zone"), Acting: map[string]Tri{"": Absent, "false": False, "true": True}[a.get("acting", "")],
		Version: int32(a.num(a.get("ver", "500"))), Language: uint8(a.num(a.get("lang", "0"))), Conn: p.connOf(a),
		HasTopics: a.get("topics", "") != "null", DataVersion: a.data(), FreshVersion: a.get("fresh", "") != "",
		Print: Fingerprint{Length: 1, Hash: uint64(a.num(a.get("body", "0"))), Valid: a.get("body", "") != ""},
	}
	if ms, ok := a.named["timeout"]; ok {
		r.Timeout = Opt64{N: a.num(ms), Valid: true}
	}
	if r.HasTopics {
		for _, t := range list(a.get("topics", "none")) {
			parts := strings.Split(t, ":")
			topic := Topic{Name: []byte(parts[0]), Queue: a.queue(parts[1:])}
			if key, name, ok := strings.Cut(parts[0], ">"); ok {
				topic.Key, topic.Name = []byte(key), []byte(name)
			}
			if parts[0] == "?" {
				topic.Key, topic.Name = topic.Name, nil
			}
			r.Topics = append(r.Topics, topic)
		}
	}
	for _, m := range list(a.get("mappings", "")) {
		topic, broker, _ := strings.Cut(m, ":")
		r.Mappings = append(r.Mappings, Mapping{Topic: topic, Broker: broker, Info: a.get("body", "?")})
	}
	if f, ok := a.named["filters"]; ok {
		r.Filters = Filters{Valid: true, Servers: list(f)}
	}
	return r
}

func (p *stepper) answer(res RegisterResult, eff Effects) {
	switch {
	case res.Refused:
		p.say("refused")
	case res.HasMaster:
		p.say("master %s ha %s", res.MasterAddr, show(res.HAAddr))
	}
	p.effects(eff)
}

func (p *stepper) register(a *args) { p.answer(p.s.register(p.registration(a), comparison{}, p.now)) }

// repeat is what a node does with every registration: without parsing if that is allowed.
func (p *stepper) repeat(a *args) {
	r := p.registration(a)
	if res, eff, ok := p.s.registerUnchanged(r, p.now); ok {
		p.say("not parsed")
		p.answer(res, eff)
		return
	}
	p.say("parsed")
	p.answer(p.s.register(r, comparison{}, p.now))
}

func (p *stepper) unregister(a *args) {
	// Its first byte came a while before it is handled: it has waited for its rest, or behind another.
	at := p.now.Add(-a.duration(a.get("waited", "3ms")))
	u := &Unregistration{
		Name: a.word(1), ID: a.num(a.word(2)), Addr: a.word(3), Cluster: a.get("cluster", "C1"), At: at, Conn: p.connOf(a),
	}
	left, eff := p.s.unregister(u, p.now)
	reasons := [...]string{
		LeavingProven: "tombstone", LeavingUnknown: "no tombstone: not registered", LeavingOtherName: "no tombstone: other name",
		LeavingOtherID: "no tombstone: other id", LeavingOlderConn: "ignored: older connection",
		LeavingOtherConn: "no tombstone: not the owner", LeavingNoProof: "no tombstone: no proof of life",
	}
	text := reasons[left.Leaving]
	if d := left.Departure; left.Leaving == LeavingProven {
		text += fmt.Sprintf(" %s %d %s from %s conn %d late %t", d.Name, d.BrokerID, d.Addr, d.RemoteIP, d.Conn, d.LateProof)
		if d.Unregistered != u.At || d.Cluster != u.Cluster {
			a.t.Fatalf("%s: departure %+v", a.where, d)
		}
	}
	p.say("%s", text)
	p.effects(eff)
}

func (p *stepper) lost(a *args) {
	id := uint64(a.num(a.word(1)))
	delete(p.conns, id)
	p.effects(p.s.connLost(id, p.now))
}

func (p *stepper) advance(a *args) { p.now = p.now.Add(a.duration(a.word(1))) }

func (p *stepper) expire(*args) { p.effects(p.s.expire(p.now)) }

func (p *stepper) heartbeat(a *args) {
	p.say("known %t", p.s.heartbeat(tombstone.Key{Cluster: a.get("cluster", "C1"), Addr: a.word(1)}, p.now))
}

func (p *stepper) version(a *args) {
	var given *DataVersion
	if a.get("dv", "") != "none" {
		v := a.data()
		given = &v
	}
	stored, known, differs := p.s.queryDataVersion(tombstone.Key{Cluster: a.get("cluster", "C1"), Addr: a.word(1)}, given, p.now)
	p.say("changed %t", differs)
	if known {
		p.say("stored %d.%d at %d", stored.StateVersion, stored.Counter, stored.Timestamp)
	}
}

func (p *stepper) perm(a *args, add bool) {
	n, eff := p.s.writePerm(a.word(1), add)
	p.say("count %d", n)
	p.effects(eff)
}

func (p *stepper) wipe(a *args) { p.perm(a, false) }
func (p *stepper) add(a *args)  { p.perm(a, true) }

func (p *stepper) delete(a *args) { p.effects(p.s.deleteTopic(a.word(1), a.get("cluster", ""))) }

func (p *stepper) topic(a *args) {
	var queues []TopicQueue
	for _, w := range a.words[2:] {
		parts := strings.Split(w, ":")
		queues = append(queues, TopicQueue{Broker: mq.Some(parts[0]), Queue: a.queue(parts[1:])})
	}
	eff, _ := p.s.registerTopics(a.word(1), queues, 0)
	p.effects(eff)
}

func (p *stepper) options(a *args) {
	p.s.setOptions(Options{
		SupportActingMaster:  slices.Contains(a.words, "supportActingMaster"),
		DeleteUnlistedTopics: slices.Contains(a.words, "deleteTopicWithBrokerRegistration"),
		NotifyMinBrokerID:    slices.Contains(a.words, "notifyMinBrokerIdChanged"),
	})
}

func (p *stepper) judge(a *args) {
	ip, err := netip.ParseAddr(a.get("ip", "10.9.9.9"))
	if err != nil {
		a.t.Fatal(err)
	}
	lo := tombstone.Bounds{Asked: p.now, Unregistered: a.duration(a.get("U", "0s"))}
	if l := a.get("L", "none"); l != "none" {
		lo.Life, lo.HasLife = a.duration(l), true
	}
	key := tombstone.Key{Cluster: a.get("cluster", "C1"), Addr: a.word(3)}
	v, eff := p.s.judge(key, tombstone.Identity{Name: a.word(1), BrokerID: a.num(a.word(2)), RemoteIP: ip}, lo, p.now)
	p.say("%v", v.Outcome)
	p.effects(eff)
}

func (p *stepper) vanish(a *args) {
	ip, err := netip.ParseAddr(a.get("ip", "10.9.9.9"))
	if err != nil {
		a.t.Fatal(err)
	}
	looked := 0
	taken, eff := p.s.vanish(&Vanished{
		Key:      tombstone.Key{Cluster: a.get("cluster", "C1"), Addr: a.word(3)},
		Identity: tombstone.Identity{Name: a.word(1), BrokerID: a.num(a.word(2)), RemoteIP: ip},
		Owner:    uint64(a.num(a.get("conn", "1"))), Silence: 8 * time.Second,
		Still: func() bool { looked++; return a.get("heard", "") == "" },
	}, p.now)
	if taken != NotTaken && looked != 1 {
		a.t.Fatalf("%s: taken after %d looks", a.where, looked)
	}
	p.say("%s", [...]string{NotTaken: "kept", Inherited: "inherited", TakenOut: "taken out"}[taken])
	p.effects(eff)
}

func (p *stepper) restore(a *args) {
	ip, err := netip.ParseAddr(a.get("ip", "10.9.9.9"))
	if err != nil {
		a.t.Fatal(err)
	}
	looked := 0
	done, eff := p.s.restore(&Restoration{
		Key:      tombstone.Key{Cluster: a.get("cluster", "C1"), Addr: a.word(3)},
		Identity: tombstone.Identity{Name: a.word(1), BrokerID: a.num(a.word(2)), RemoteIP: ip},
		Owner:    uint64(a.num(a.get("conn", "1"))), Alive: func() bool { looked++; return a.get("silent", "") == "" },
	}, p.now)
	if done == PutBack && looked != 1 {
		a.t.Fatalf("%s: put back after %d looks", a.where, looked)
	}
	p.say("%s", [...]string{NothingAside: "nothing aside", NotYet: "not yet", PutBack: "put back"}[done])
	p.effects(eff)
}

func (p *stepper) route(a *args) {
	t := p.s.lookup([]byte(a.word(1)))
	if t == nil {
		p.say("no route")
		return
	}
	r := p.s.route(t)
	if zone, ok := a.named["zone"]; ok {
		r = r.InZone(zone)
	}
	for _, q := range r.Queues {
		p.say("queue %s %d:%d:%d:%d", q.Broker, q.Read, q.Write, q.Perm, q.SysFlag)
	}
	p.brokers(r.Brokers)
	for _, f := range r.Filters {
		p.say("filters of %s %v", f.Addr, f.Servers)
	}
	for _, m := range r.Mappings {
		p.say("mapping of %s from body %v", m.Broker, m.Info)
	}
}

func (p *stepper) brokers(brokers []Broker) {
	for _, b := range brokers {
		p.say("broker %s of %s %v zone %s acting %t", b.Name, b.Cluster, b.Members, show(b.Zone), b.Acting)
	}
}

func (p *stepper) clusters(*args) {
	info := p.s.clusterInfo()
	p.brokers(info.Brokers)
	for _, c := range info.Clusters {
		p.say("cluster %s %v", c.Name, c.Brokers)
	}
}

func (p *stepper) group(a *args) { p.say("%v", p.s.memberGroup(a.word(1))) }

func (p *stepper) lists(a *args) {
	sorted := func(list []string) []string { slices.Sort(list); return list }
	names, addr := p.s.systemTopics()
	p.say("all %v", sorted(p.s.allTopics()))
	p.say("cluster %v", sorted(p.s.topicsOfCluster(a.get("cluster", "C1"))))
	p.say("system %v %s", names, show(addr))
	p.say("unit %v", sorted(p.s.topicsOfKind(UnitTopics)))
	p.say("unit subscribed %v", sorted(p.s.topicsOfKind(UnitSubscribed)))
	p.say("unit subscribed, not unit %v", sorted(p.s.topicsOfKind(UnitSubscribedNonUnits)))
}

func (p *stepper) live(*args) {
	for _, r := range p.s.registrations() {
		text := fmt.Sprintf("%s %s %d %s generation %d timeout %v topics %d", r.Cluster, r.Name, r.ID, r.Addr, r.Generation, r.Timeout, r.Topics)
		if r.Owner != nil {
			text += fmt.Sprintf(" conn %d", r.Owner.ID)
		}
		for _, id := range p.s.holders(tombstone.Key{Cluster: r.Cluster, Addr: r.Addr})[1:] {
			text += fmt.Sprintf(", %s %d of %v", id.Name, id.BrokerID, id.RemoteIP)
		}
		if r.Superseded {
			text += " superseded"
		}
		if !r.KeptAt.IsZero() {
			text += " " + r.Kept.Outcome.String()
		}
		p.say("%s", text)
	}
}
