//go:build linux

package netns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What docs/guarantees.md says in sentences, looked at on running nodes with brokers that we can let do anything. C is
// the node that missed something; A is where the UNREGISTER comes.
func TestPromises(t *testing.T) {
	need(t, 0)
	p := &promises{world: newWorld(t, "A", "B", "C")}
	p.a, p.b, p.c = p.nodes[0], p.nodes[1], p.nodes[2]
	p.sim, p.other = p.host("sim"), p.host("other")
	p.watches = watchAll(t, p.servers()...)
	for _, one := range []struct {
		promise string
		check   func(t *testing.T)
	}{
		{"a missed departure is gone at once", p.gone},
		{"a registration made at C only, meanwhile, stays (19)", p.registeredMeanwhile},
		{"C restarts with an empty table; what registers then stays (21)", p.restartedC},
		{"a tool's UNREGISTER is not told (15)", p.tool},
		{"another id is not told (36)", p.otherID},
		{"another name at the same address is kept (17)", p.otherName},
		{"another source address is kept (34)", p.otherSource},
		{"a connection through a PROXY protocol front end gives no proof (30)", p.proxied},
		{"a 5.x broker in Rust has no late proof (29)", p.rust},
		{"no connection loss makes a tombstone", p.lost},
		{"no stop, crash or restart of a node makes a tombstone", p.nodeRestarts},
		{"three evictions are refuted, and the node evicts nothing more of their source", p.refuted}, // the last: C holds all of p.sim afterwards
	} {
		t.Run(one.promise, one.check)
	}
}

type promises struct {
	*world
	a, b, c    *epitaph
	sim, other *host
	watches    []*watch
	ports      int
}

func (p *promises) broker(name string) *simBroker {
	p.ports++
	return newSimBroker(p.sim, name, 20000+p.ports)
}

func (p *promises) watch(n *epitaph) *watch {
	for _, w := range p.watches {
		if w.server == n.server {
			return w
		}
	}
	panic(n.name)
}

// stays wants a broker listed at C when everybody has had his say.
func (p *promises) stays(t *testing.T, b *simBroker) {
	t.Helper()
	if here, since, err := p.watch(p.c).state(b.key()); err != nil || !here {
		t.Errorf("C does not list %s since %s (%v)", b.key(), since, err)
	}
}

// missedAtC registers everywhere and leaves A and B; C hears nothing of it.
func (p *promises) missedAtC(t *testing.T, b *simBroker) {
	t.Helper()
	kit.Must(t, b.registerAll(p.servers()), b.vanish(p.c.server))
	p.watch(p.c).listed(t, kit.Patience, b.key())
	kit.Ages(t)
	kit.Must(t, b.unregister(p.a.server), b.unregister(p.b.server))
	b.Close()
}

func (p *promises) gone(t *testing.T) {
	b := p.broker("promise-gone")
	p.missedAtC(t, b)
	p.watch(p.c).gone(t, kit.Patience, b.key())
	evictionShown(t, firstOrigin(t, p.nodes[:2], b.Name), p.c, b.Name)
}

func (p *promises) registeredMeanwhile(t *testing.T) {
	b := p.broker("promise-meanwhile")
	kit.Must(t, b.registerAll(p.servers()))
	rules := append(cut(p.a.host, p.c.host), cut(p.b.host, p.c.host)...)
	kit.Must(t, b.vanish(p.c.server), b.unregister(p.a.server), b.unregister(p.b.server))
	b.Close()
	kit.Must(t, b.register(p.c.server)) // the successor, at C only
	heal(rules)
	if d := p.c.decided(t, b.Name, "came_back"); d.RegisterMargin == nil || *d.RegisterMargin > 0 {
		t.Errorf("told without the comparison: %+v", d)
	}
	p.stays(t, b)
	for _, n := range p.nodes[:2] {
		if here, _, err := p.watch(n).state(b.key()); err != nil || here {
			t.Errorf("%s lists a broker that registered at C only (%v)", n.name, err)
		}
	}
	p.awaitMembers(3)
}

func (p *promises) restartedC(t *testing.T) {
	b := p.broker("promise-restarted")
	kit.Must(t, b.registerAll(p.servers()))
	p.c.crash()
	kit.Must(t, b.vanish(p.c.server), b.unregister(p.a.server))
	b.Close()
	kit.Must(t, b.registerAll(p.servers()))
	p.awaitMembers(3)
	p.watch(p.c).listed(t, kit.Patience, b.key())
	p.stays(t, b)
}

// departures is a node's count of UNREGISTERs by meaning.
func departures(t testing.TB, n *epitaph, meaning string) float64 {
	t.Helper()
	return n.metric(t, fmt.Sprintf("epitaph_departures_total{meaning=%q}", meaning))
}

// notTold wants what leave does counted at A by its meaning, no tombstone made of it, and the broker kept at C.
func (p *promises) notTold(t *testing.T, b *simBroker, meaning string, leave func()) {
	t.Helper()
	made, counted := p.a.metric(t, "epitaph_tombstones_made_total"), departures(t, p.a, meaning)
	leave()
	if got := departures(t, p.a, meaning); got != counted+1 {
		t.Errorf("departures of meaning %s: %v, want %v", meaning, got, counted+1)
	}
	if got := p.a.metric(t, "epitaph_tombstones_made_total"); got != made {
		t.Errorf("%v tombstones made of it", got-made)
	}
	p.stays(t, b)
}

func (p *promises) tool(t *testing.T) {
	b := p.broker("promise-tool")
	kit.Must(t, b.registerAll(p.servers()))
	p.watch(p.c).listed(t, kit.Patience, b.key())
	tool := newSimBroker(p.other, b.Name, 1)
	tool.Addr = b.Addr
	p.notTold(t, b, "other_connection", func() { kit.Must(t, tool.unregister(p.a.server)) })
	p.watch(p.a).gone(t, kit.Patience, b.key()) // as in RocketMQ
}

func (p *promises) otherID(t *testing.T) {
	b := p.broker("promise-id")
	kit.Must(t, b.registerAll(p.servers()))
	p.watch(p.c).listed(t, kit.Patience, b.key())
	b.ID = 1
	p.notTold(t, b, "other_id", func() { kit.Must(t, b.unregister(p.a.server)) })
}

func (p *promises) otherName(t *testing.T) {
	b := p.broker("promise-name")
	kit.Must(t, b.registerAll(p.servers()))
	other := p.broker("promise-other-name")
	other.Addr = b.Addr
	kit.Must(t, other.register(p.c.server)) // on a newer connection: the address is now under that name at C
	p.watch(p.c).listed(t, kit.Patience, other.key())
	kit.Must(t, b.unregister(p.a.server))
	p.c.decided(t, b.Name, "kept_other_name")
	p.stays(t, other)
}

// otherSource is somebody else who registers and unregisters another's broker at A.
func (p *promises) otherSource(t *testing.T) {
	b := p.broker("promise-source")
	kit.Must(t, b.register(p.c.server))
	p.watch(p.c).listed(t, kit.Patience, b.key())
	stranger := newSimBroker(p.other, b.Name, 1)
	stranger.Addr = b.Addr
	kit.Must(t, stranger.register(p.a.server), stranger.unregister(p.a.server))
	p.c.decided(t, b.Name, "kept_other_source")
	p.stays(t, b)
}

func (p *promises) proxied(t *testing.T) {
	b := p.broker("promise-proxied")
	kit.Must(t, b.register(p.c.server))
	p.watch(p.c).listed(t, kit.Patience, b.key())
	front := newSimBroker(p.other, b.Name, 1)
	front.Addr, front.Greeting = b.Addr, []byte("PROXY TCP4 "+p.sim.IP+" "+p.a.host.IP+" 40000 9876\r\n")
	kit.Must(t, front.register(p.a.server))
	p.notTold(t, b, "no_proof", func() { kit.Must(t, front.unregister(p.a.server)) })
}

func (p *promises) rust(t *testing.T) {
	for _, language := range []string{"RUST", "JAVA"} {
		b := p.broker("promise-" + strings.ToLower(language))
		b.Language = language
		kit.Must(t, b.register(p.a.server))
		pass(t, 50*time.Millisecond) // so that C's connection is younger than any answer of A
		kit.Must(t, b.register(p.c.server), b.vanish(p.c.server))
		p.watch(p.c).listed(t, kit.Patience, b.key())
		kit.Ages(t)
		kit.Must(t, b.unregister(p.a.server))
		if language == "JAVA" { // the same but for the late proof
			p.c.decided(t, b.Name, "evicted")
			continue
		}
		p.c.decided(t, b.Name, "kept_younger_connection")
		p.stays(t, b)
	}
}

func (p *promises) lost(t *testing.T) {
	b := p.broker("promise-lost")
	kit.Must(t, b.registerAll(p.servers()))
	p.watch(p.c).listed(t, kit.Patience, b.key())
	made := p.a.metric(t, "epitaph_tombstones_made_total") + p.b.metric(t, "epitaph_tombstones_made_total")
	kit.Must(t, b.vanish(p.c.server))
	b.Close() // FIN at A and B: each removes it by itself
	p.watch(p.a).gone(t, kit.Patience, b.key())
	p.watch(p.b).gone(t, kit.Patience, b.key())
	if got := p.a.metric(t, "epitaph_tombstones_made_total") + p.b.metric(t, "epitaph_tombstones_made_total"); got != made {
		t.Errorf("%v tombstones made of a lost connection", got-made)
	}
	p.stays(t, b)
}

func (p *promises) nodeRestarts(t *testing.T) {
	b := p.broker("promise-nodes")
	kit.Must(t, b.registerAll(p.servers()))
	p.watch(p.c).listed(t, kit.Patience, b.key())
	before, err := p.c.get("/v1/tombstones")
	kit.Must(t, err)
	p.a.Term()
	if _, err := p.a.Wait(kit.Patience); err != nil {
		t.Fatal(err)
	}
	p.a.run()
	p.b.crash()
	p.awaitMembers(3)
	after, err := p.c.get("/v1/tombstones")
	kit.Must(t, err)
	if n, m := strings.Count(string(before), `"origin"`), strings.Count(string(after), `"origin"`); m > n {
		t.Errorf("C heard of %d departures from nodes that stopped:\n%s", m-n, after)
	}
	for _, n := range p.nodes[:2] {
		if made := n.metric(t, "epitaph_tombstones_made_total"); made != 0 {
			t.Errorf("%s has made %v tombstones since its start", n.name, made)
		}
	}
	p.stays(t, b)
}

// refuted: brokers that unregister at A and go on registering at C on the very connection whose registration was evicted,
// as a BrokerContainer can make it look.
func (p *promises) refuted(t *testing.T) {
	for i := range 3 {
		b := p.broker(fmt.Sprint("promise-refuted-", i))
		kit.Must(t, b.registerAll(p.servers()))
		p.watch(p.c).listed(t, kit.Patience, b.key())
		kit.Ages(t)
		kit.Must(t, b.unregister(p.a.server))
		p.watch(p.c).gone(t, kit.Patience, b.key())
		kit.Must(t, b.register(p.c.server))
		p.watch(p.c).listed(t, kit.Patience, b.key())
	}
	kit.Await(t, 2*time.Minute, "three evictions are refuted", func() error {
		if n := p.c.metric(t, "epitaph_tombstone_refuted_total"); n != 3 {
			return fmt.Errorf("%v are", n)
		}
		return nil
	})
	if held := p.c.metric(t, "epitaph_tombstone_evictions_on_hold"); held != 1 {
		t.Errorf("evictions on hold: %v", held)
	}
	if out := p.c.command(t, "tombstones"); !strings.Contains(out, "Evictions by tombstones of source "+p.sim.IP+" are on hold") {
		t.Errorf("epitaph tombstones does not say so:\n%s", out)
	}
	if n := strings.Count(p.c.Output(), "eviction by tombstone refuted"); n != 3 {
		t.Errorf("%d log lines of refuted evictions", n)
	}
	b := p.broker("promise-held")
	p.missedAtC(t, b)
	p.c.decided(t, b.Name, "kept_on_hold")
	p.stays(t, b)
}
