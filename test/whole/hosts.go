package whole

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	nodeconfig "github.com/epitaph-mq/epitaph/node/config"
	tries "github.com/epitaph-mq/epitaph/node/connect"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// kernels are those of a node's machine: of the brokers' connections, and of new ones.
type kernels struct{ *life }

// Conn is a connection as the kernels of package world have it.
func (k kernels) Conn(c vanished.Conn) vanished.Conn {
	k.m.w.mu.Lock()
	defer k.m.w.mu.Unlock()
	return watched{c, k.byPort[c.SocketAddr().Port()]}
}

// watched is a connection that a node watches.
type watched struct {
	vanished.Conn
	mine *conn
}

// Watch is SO_KEEPALIVE, where package rpc would set it.
func (c watched) Watch(advertised string, _ int64) rpc.Unwatched {
	w := c.mine.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case c.mine.Proc.Kind == world.Proxied:
		return rpc.UnwatchedProxied
	case !strings.HasPrefix(advertised, c.mine.Proc.IP().String()+":"):
		return rpc.UnwatchedSource
	}
	c.mine.Kernel.Watch()
	return rpc.Watched
}

// Look is TCP_INFO.
func (c watched) Look() (rpc.Look, bool) {
	w := c.mine.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.mine.Kernel.On() || !c.mine.Open || c.mine.Proc.Kind == world.Proxied {
		return rpc.Look{}, false
	}
	r, closed := c.mine.Kernel.Look()
	return rpc.Look{
		Heard: r.Heard, Probes: r.Probes, Retransmits: r.Retransmits, DataIn: r.DataIn, DataOut: r.DataOut, Unacked: r.Unacked, Closed: closed,
	}, true
}

// Probe is TCP_KEEPIDLE, set anew.
func (c watched) Probe() {
	w := c.mine.w
	w.mu.Lock()
	defer w.mu.Unlock()
	c.mine.Kernel.Probe()
}

// Try opens a new connection to a host.
func (k kernels) Try(ctx context.Context, addr netip.AddrPort) tries.Result {
	w := k.m.w
	w.mu.Lock()
	_, host := w.HostAt(addr.Addr())
	answered, after := w.Try(k.m.index, host)
	w.mu.Unlock()
	select {
	case <-ctx.Done():
		return tries.Result{Outcome: tries.Failed, Err: ctx.Err()}
	case <-time.After(after):
	}
	if !answered {
		return tries.Result{Outcome: tries.Unanswered}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Sign(host, k.m.index)
	return tries.Result{Outcome: tries.Answered}
}

// TellsICMP says that a refusal is a host's own.
func (kernels) TellsICMP() bool { return true }

// Canary is answered by nobody.
func (kernels) Canary(context.Context, []netip.Addr) (netip.Addr, bool) { return netip.Addr{}, false }

// The rule's own times (docs/spec/deadhosts.md), and what clocks and readings may be wrong by meanwhile.
const (
	evictAfter = 8 * time.Second
	vote       = evictAfter * 5 / 8
	drift      = 100 * time.Millisecond
)

// hostEvicted checks the eviction of a broker whose host was judged dead: V-3, V-13 to V-15 and V-17 of docs/spec/deadhosts.md. World.mu is held.
func (l *life) hostEvicted(key tombstone.Key) {
	w, m := l.m.w, l.m
	host := hostOf(key)
	now := w.Time.Now()
	w.vanished++
	w.Logf("%s judges the host of %s dead", m.name(), key.Cluster)
	if m.mode != nodeconfig.DeadHostsOn {
		w.FailHost(17, "%s evicts %s, and is %s", m.name(), key.Cluster, m.mode)
	}
	if at, _ := w.Heard(host, m.index); time.Duration(now-at) < evictAfter-drift {
		w.FailHost(13, "%s evicts %s, which it heard %v ago", m.name(), key.Cluster, time.Duration(now-at))
	}
	unheard := 0
	for _, o := range w.machine {
		at, broke := w.Heard(host, o.index)
		ago := time.Duration(now - at)
		if ago >= vote-drift || time.Duration(now-broke) <= 1500*time.Millisecond {
			unheard++
		}
		if o != m && o.hears(key, host) && w.clean(m, o) && ago > 1500*time.Millisecond && ago < vote-2*drift {
			w.FailHost(13, "%s evicts %s, which %s heard %v ago", m.name(), key.Cluster, o.name(), ago)
		}
	}
	if unheard < vanish.Quorum(len(w.machine)) && !m.stoodStill {
		w.FailHost(3, "%s evicts %s: only %d nodes have not heard it", m.name(), key.Cluster, unheard)
	}
	g := l.ghosts[key]
	if g == nil || g.Claims[host] == nil {
		w.FailHost(15, "%s evicts %s, which host %d does not claim", m.name(), key.Cluster, host)
		return
	}
	if ago := time.Duration(now - g.Claims[host].LastRegister); ago < evictAfter-drift {
		w.FailHost(14, "%s evicts %s, which was registered %v ago", m.name(), key.Cluster, ago)
	}
	if heir := g.Inherits(host, now); heir != nil {
		w.FailHost(15, "%s evicts %s, which %s registers", m.name(), key.Cluster, heir.Owner.Proc.Name())
	}
	l.vanished[key] = takenOut{g.Claims[host].Owner, now, g}
}

// restored checks that what is put back was taken by the rule, that its connection is open, and that no REGISTER or UNREGISTER came since: V-18. World.mu
// is held.
func (l *life) restored(key tombstone.Key) {
	v, was := l.vanished[key]
	switch _, held := l.ghosts[key]; {
	case !was || held:
		l.m.w.FailHost(18, "%s puts %s back, which it had not taken out, or had heard of since", l.m.name(), key.Cluster)
	case l.leaving[key].at > v.at && l.leaving[key].at < l.m.w.Time.Now():
		l.m.w.FailHost(18, "%s puts %s back, of which an UNREGISTER came since", l.m.name(), key.Cluster)
	case !v.owner.Open:
		l.m.w.FailHost(18, "%s puts %s back, whose connection is closed", l.m.name(), key.Cluster)
	default:
		l.m.w.Logf("%s puts %s back", l.m.name(), key.Cluster)
		l.m.w.putBack++
		l.ghosts[key] = v.ghost
		delete(l.vanished, key)
	}
}

// takenOut is a claim that the rule took.
type takenOut struct {
	owner *world.Conn
	at    int64        // true time
	ghost *world.Ghost // as it was
}

// hostOf is the host that may be watched as the broker: whose address it advertises.
func hostOf(key tombstone.Key) int {
	a, err := netip.ParseAddrPort(key.Addr)
	if err != nil {
		return -1
	}
	b := a.Addr().As4()
	return int(b[2])<<8 | int(b[3])
}

// hears says that a node runs and holds what a host claims.
func (m *machine) hears(key tombstone.Key, host int) bool {
	if m.life == nil || m.life.over || time.Until(m.until) > -time.Second {
		return false
	}
	g := m.life.ghosts[key]
	return g != nil && g.Claims[host] != nil && g.Claims[host].Owner.Open
}

// mayJudge says that a node has found out that a broker's host answers: one that began while its new connections were dropped tries again only after
// minutes.
func (l *life) mayJudge(key tombstone.Key) bool {
	if l == nil {
		return false
	}
	st := l.node.Vanished()
	for _, h := range st.Of(key.Addr) {
		for i := range h.Claims {
			if st.NotJudged(&h, &h.Claims[i]) != "" {
				return false
			}
		}
	}
	return true
}

// clean says that nothing has come between two nodes for a while, and that all know all.
func (w *World) clean(a, b *machine) bool {
	net := &w.Net
	for _, m := range w.machine {
		if m.life == nil || time.Since(m.quiet) < 30*time.Second || time.Until(m.until) > 0 {
			return false
		}
	}
	return !net.Cut[a.index][b.index] && !net.NoUDP[a.index][b.index] && !net.NoUDP[b.index][a.index] && net.Loss == 0 && net.Corrupt == 0 &&
		net.Slow <= 50*time.Millisecond && net.Lag <= 50*time.Millisecond
}

// checkFarewells checks that an UNREGISTER of what the rule took has made its tombstone: V-16. World.mu is held.
func (l *life) checkFarewells() {
	w := l.m.w
	for key, v := range l.vanished {
		u, is := l.leaving[key]
		if is && u.conn.Conn == v.owner && u.at >= v.at && w.Time.Now()-u.at > int64(time.Second) {
			w.FailHost(16, "%s has made no tombstone of the unregister of %s, which it had evicted before", l.m.name(), key.Cluster)
			delete(l.vanished, key)
		}
	}
}

// lastDeath is V-1: when the faults have ended, a host that dies is gone in less than nine seconds at every node that judges, if enough of
// them do.
func (w *World) lastDeath() {
	w.mu.Lock()
	w.Mend()
	w.mu.Unlock()
	for range 4 { // calibrated, and no node is young
		w.mu.Lock()
		for _, p := range w.Living() {
			for i := range w.machine {
				w.Register(p, i)
			}
		}
		w.mu.Unlock()
		w.sleep(10 * time.Second)
	}
	w.mu.Lock()
	var victim *world.Proc
	for _, p := range w.Living() {
		if p.Host() > 10 && !w.back[p.Subject().Name] {
			victim = p
		}
	}
	if victim == nil {
		w.mu.Unlock()
		return
	}
	key := tombstone.Key{Cluster: victim.Subject().Cluster, Addr: victim.Subject().Addr}
	w.mu.Unlock()
	may := map[*machine]bool{}
	for _, m := range w.machine {
		may[m] = m.current().mayJudge(key)
	}
	w.mu.Lock()
	can, must := 0, []*machine{}
	for _, m := range w.machine {
		if m.life == nil || !may[m] || m.braked || m.onHold || m.mode == nodeconfig.DeadHostsOff || !m.hears(key, victim.Host()) {
			continue
		}
		if can++; m.mode == nodeconfig.DeadHostsOn {
			must = append(must, m)
		}
	}
	w.World.Apply(world.Op{Verb: "die", Args: [4]int64{int64(victim.Host())}})
	w.mu.Unlock()
	w.sleep(evictAfter + time.Second)
	for _, m := range must {
		l := m.current()
		holds := l != nil && l.node.Table().Holds(key)
		w.mu.Lock()
		switch {
		case l == nil || slices.ContainsFunc(w.machine, func(o *machine) bool { return o.braked }) || can < vanish.Quorum(len(w.machine)):
		case holds:
			w.FailHost(1, "%s holds %s nine seconds after its host has died", m.name(), key.Cluster)
		case l.vanished[key].owner == nil:
			w.FailHost(1, "%s has taken %s out and told nobody", m.name(), key.Cluster)
		default:
			w.deaths++
		}
		w.mu.Unlock()
	}
}

// tells notes what a node tells of the brake, of holds, and of what it was wrong about. World.mu is held.
func (m *machine) tells(r *slog.Record) {
	switch {
	case strings.HasPrefix(r.Message, "so many hosts are silent here"):
		m.braked = true
	case strings.HasPrefix(r.Message, "silent hosts are few enough"):
		m.braked = false
	case strings.HasPrefix(r.Message, "dead-host evictions on hold"):
		m.onHold = true
	case strings.HasPrefix(r.Message, "eviction of a vanished host refuted"):
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "broker" {
				m.w.back[a.Value.String()] = true
			}
			return true
		})
	}
}
