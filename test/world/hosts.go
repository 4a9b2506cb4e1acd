package world

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/vanish"
)

// Host is a machine of brokers, whose kernel answers nodes or does not. All faults of docs/spec/deadhosts.md are those of hosts, of
// paths (pathState), of connections, and of nodes.
type Host struct {
	Dead     bool // it has no power
	still    bool // it stands still, and its kernel with it
	filtered bool // new connections from nodes are dropped on the way
	loss     float64
}

// modeNames are what a node does about dead hosts: vanish.Off and so on.
var modeNames = []string{"off", "observe", "on"}

func (w *World) host(h int) *Host {
	m := w.hosts[h]
	if m == nil {
		m = &Host{}
		w.hosts[h] = m
	}
	return m
}

// HostAt is the host behind an address.
func (w *World) HostAt(ip netip.Addr) (*Host, int) {
	b := ip.As4()
	n := int(b[2])<<8 | int(b[3])
	return w.host(n), n
}

func (m *Host) runs() bool { return !m.Dead && !m.still }

// inward says that what a node sends arrives at a host, whose kernel runs.
func (w *World) inward(host, node int) bool {
	return w.path(host, node).inward(w.host(host))
}

// outward says that what a host sends arrives at a node.
func (w *World) outward(host, node int) bool {
	return w.path(host, node).outward(w.host(host))
}

func (st *pathState) inward(m *Host) bool  { return !st.stalled && !st.deaf && m.runs() }
func (st *pathState) outward(m *Host) bool { return !st.stalled && !st.mute && m.runs() }

func (c *Conn) inward() bool  { return !c.forgotten && c.way.inward(c.host) }
func (c *Conn) outward() bool { return !c.forgotten && c.way.outward(c.host) }

// lost says that a packet from or to a host is lost.
func (w *World) lost(host int) bool { return w.Chance(w.host(host).loss) }

// again is how much later what must arrive does so, where packets are lost.
func (w *World) again(host int) (late time.Duration) {
	for rto := 200 * time.Millisecond; w.lost(host); rto *= 2 {
		late += rto
	}
	return late
}

// tooLate says that a frame would come from a host that has lost its power before it could send it again.
func (c *Conn) tooLate(at int64) bool {
	return c.lostAt > 0 && at-c.lostAt > int64(5*time.Millisecond)
}

// opDie takes a host's power: every process ends, and nothing more is heard of it.
func (w *World) opDie(a [4]int64) {
	h := int(a[0])
	m := w.host(h)
	if m.Dead {
		return
	}
	m.Dead = true
	for _, p := range w.ordered() {
		if p.host != h {
			continue
		}
		p.vanish()
		for _, c := range p.all {
			if c.lostAt == 0 { // else it is of a life before
				c.lostAt = w.Time.Now()
			}
		}
	}
}

// opReboot starts a dead host anew: its kernel knows nothing of the connections before.
func (w *World) opReboot(a [4]int64) {
	if m := w.host(int(a[0])); m.Dead {
		m.Dead = false
	}
}

// opStill lets a host stand still for a while, as one that is moved or whose disk is copied. What it has sent it sends again.
func (w *World) opStill(a [4]int64) {
	h := int(a[0])
	m := w.host(h)
	if !m.runs() {
		return
	}
	m.still = true
	w.After(time.Duration(a[1]), func() {
		m.still = false
		if m.Dead {
			return
		}
		for node := range w.Nodes {
			w.flush(h, node)
		}
	})
}

// opForget makes what stands between a host and a node forget their connections and drop what belongs to them. New ones pass.
func (w *World) opForget(a [4]int64) {
	for c := range w.ways(int(a[0]), int(a[1])) {
		c.forgotten = true
		if c.asking > 0 {
			c.w.After(registerTimeout, c.close)
		}
	}
}

// Mend ends every fault of hosts that have power, and of the ways to them.
func (w *World) Mend() {
	for _, h := range slices.Sorted(maps.Keys(w.hosts)) {
		w.hosts[h].loss, w.hosts[h].filtered = 0, false
		for node := range w.Nodes {
			w.heal(h, node)
		}
	}
}

// Still says that a host stands still.
func (w *World) Still() bool {
	for _, m := range w.hosts {
		if m.still {
			return true
		}
	}
	return false
}

// Register has a process register its broker at a node, if no UNREGISTER of it is under way.
func (w *World) Register(p *Proc, node int) {
	if p.Leaving == 0 {
		p.say(node, p.key, false)
	}
}

// Subject is what the process registers.
func (p *Proc) Subject() vanish.Subject {
	return vanish.Subject{Cluster: p.key.Cluster, Addr: p.key.Addr, Name: BrokerName(p.key), Source: p.IP()}
}

// Living are the processes that run and do not leave, in the order of their starts.
func (w *World) Living() (all []*Proc) {
	for _, p := range w.ordered() {
		if p.Alive && !p.Stopping {
			all = append(all, p)
		}
	}
	return all
}

// Try is a new connection from a node to a host, as its kernel's answer, or none within a second.
func (w *World) Try(node, host int) (answered bool, after time.Duration) {
	m := w.host(host)
	if m.filtered || !w.inward(host, node) || !w.outward(host, node) || w.lost(host) || w.lost(host) {
		return false, time.Second
	}
	return true, 2 * w.delay()
}

// Sign notes that a host's sign of life has reached a node, and whether after a silence of so long.
func (w *World) Sign(host, node int) {
	st, now := w.path(host, node), w.Time.Now()
	if now-st.heard >= int64(enoughToVote) {
		st.broke = now
	}
	st.heard = now
}

// enoughToVote is the silence from which on a node may say silent: D, with T = 8 s.
const enoughToVote = 5 * time.Second

// Heard is when a host's newest sign of life reached a node, and when the newest did that came after a silence of five seconds.
func (w *World) Heard(host, node int) (at, broke int64) {
	st := w.path(host, node)
	return st.heard, st.broke
}
