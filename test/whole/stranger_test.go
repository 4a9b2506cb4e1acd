package whole

import (
	"bytes"
	"io"
	"log"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// S-24.
func TestStrangersAreNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config{nodes: 2, seed: 1})
		defer w.close()
		a := w.machine[0].current()
		count := func() gossip.Counts { return a.node.Gossip().Counts() }
		stranger := &machine{w: w, index: 2, quiet: time.Now()}

		// A whole member of another cluster, and one with another key.
		for _, other := range []struct{ label, key string }{
			{"another", "0123456789abcdef0123456789abcdef"}, {"whole", "another key of 32 bytes, and wrong"[:32]},
		} {
			e := w.endpoint(stranger)
			conf := memberlist.DefaultLANConfig()
			conf.Name, conf.Transport, conf.Label, conf.SecretKey = "stranger", e, other.label, []byte(other.key)
			conf.Logger = log.New(io.Discard, "", 0)
			list, err := memberlist.Create(conf)
			kit.Must(t, err)
			if _, err := list.Join([]string{a.endpoint.addr.String()}); err == nil {
				t.Errorf("joined with label %s and key %q", other.label, other.key)
			}
			to := &memberlist.Node{Name: "A", Addr: a.endpoint.addr.IP, Port: gossipPort}
			kit.Must(t, list.SendBestEffort(to, []byte("H\x01")))
			if err := list.SendReliable(to, []byte("H\x01")); err != nil {
				t.Log(err)
			}
			w.sleep(5 * time.Second)
			kit.Must(t, list.Shutdown())
		}
		c := count()
		if c.RefusedLabel < 3 || c.RefusedKey < 3 { // join, packet and stream
			t.Errorf("%d refused for their label, %d for their key", c.RefusedLabel, c.RefusedKey)
		}

		// What was said in the cluster, damaged, cut, and longer than any packet.
		e := w.endpoint(stranger)
		w.mu.Lock()
		i := slices.IndexFunc(w.old, func(p packet) bool { return p.to == a.endpoint.addr.String() && p.from != e })
		heard := w.old[i].bytes
		w.mu.Unlock()
		damaged := bytes.Clone(heard)
		damaged[len(damaged)-1] ^= 1
		// The version of its encryption, which no key protects: memberlist would take off a padding that is not there.
		padded := bytes.Clone(heard)
		padded[len("\xf4\x05whole")] = 0
		for _, b := range [][]byte{
			padded, damaged, heard[:len(heard)-9], heard[:12], heard[:3], bytes.Repeat([]byte{9}, 60_000), []byte("\xf4\x00"), {1}, {0xff},
		} {
			before := refused(count())
			if _, err := e.WriteTo(b, a.endpoint.addr.String()); err != nil {
				t.Fatal(err)
			}
			w.sleep(50 * time.Millisecond)
			if refused(count()) != before+1 {
				t.Errorf("%d bytes %x were not counted", len(b), b[:min(len(b), 12)])
			}
		}
		// A departure meanwhile, the broker's return, and then everything that was heard once more, as it was. Only a proof has a
		// nonce: an old hint or question is handled again, and what comes of it goes to the member that it names as its sender.
		w.mu.Lock()
		w.old = nil
		w.mu.Unlock()
		if !w.depart(t, "1") {
			t.Error("a departure was missed meanwhile")
		}
		w.do(t, "exit p1", "heal host1 B", "start p2 v5 host1 b1", "register p2 A b1", "register p2 B b1", "wait 1s")
		b := w.machine[1].current()
		held := func() (all []routes.Record) {
			for _, m := range w.machine {
				all = append(all, m.current().node.Table().Registrations()...)
			}
			return all
		}
		before, hints, proofs := held(), b.node.Gossip().Counters().HintsReceived, b.node.Gossip().Counters().RefusedNonce
		if len(before) != 2 {
			t.Errorf("%d registrations held, want the successor's at both nodes", len(before))
		}
		w.mu.Lock()
		again := slices.Clone(w.old)
		w.mu.Unlock()
		for _, p := range again {
			if _, err := e.WriteTo(p.bytes, p.to); err != nil {
				t.Fatal(err)
			}
		}
		w.sleep(5 * time.Second)
		if after := held(); !slices.EqualFunc(before, after, sameRegistration) {
			t.Errorf("%v held after a replay, %v before", after, before)
		}
		if x := b.node.Gossip().Counters(); x.HintsReceived == hints || x.RefusedNonce == proofs {
			t.Error("no hint or no proof was among what was replayed: this shows nothing")
		}

		w.sleep(time.Minute)
		if n := len(e.packets); n > 0 {
			t.Errorf("%d answers", n)
		}
		for _, m := range w.machine {
			if members := m.current().node.Gossip().Members(); len(members) != 2 || strings.Contains(members[1].Name, "stranger") {
				t.Errorf("%s has members %v", m.name(), members)
			}
		}
	})
}

// sameRegistration leaves out why a tombstone did not evict it: an old hint makes a node look again.
func sameRegistration(a, b routes.Record) bool {
	return a.Cluster == b.Cluster && a.Addr == b.Addr && a.Owner.ID == b.Owner.ID && a.Generation == b.Generation &&
		a.LastRegister == b.LastRegister
}

// refused is how many messages were refused for what a stranger can get wrong.
func refused(c gossip.Counts) uint64 { return c.RefusedKey + c.RefusedLabel + c.RefusedSize }
