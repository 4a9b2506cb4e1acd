package vanished

import (
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
	"github.com/epitaph-mq/epitaph/vanish"
)

// evict takes out what was judged, or with --dead-hosts=observe tells that it would. The claim must stand, by what was heard since and by a
// look made under the lock that evicts.
func (s *Shell) evict(e *vanish.Eviction) {
	s.mu.Lock()
	still := func() bool {
		l, ok := s.glance(e.Conn)
		return ok && s.rule.Pending(e, s.cfg.Clock()) && e.Stands(s.claims[e.Subject].Claim, !l.Closed, vanish.Reading{Heard: l.Heard})
	}
	taken, eff := routes.NotTaken, routes.Effects{}
	if s.cfg.Rule.Mode == vanish.On {
		taken, eff = s.cfg.Tables.Vanish(&routes.Vanished{
			Key:      tombstone.Key{Cluster: e.Cluster, Addr: e.Addr},
			Identity: tombstone.Identity{Name: e.Name, BrokerID: e.BrokerID, RemoteIP: e.Source},
			Owner:    e.Conn, Silence: e.After, Still: still,
		})
	} else if still() {
		taken = routes.TakenOut
	}
	s.rule.Took(*e, taken != routes.NotTaken)
	d := Decision{
		Kind: Evicted, Claim: e.Claim, Silence: e.Silence, Unanswered: e.Unanswered, Connects: e.Connects, Nodes: e.Nodes, Quorum: e.Quorum,
		Agreed: e.Agreed, Mute: e.Mute,
	}
	observes := s.cfg.Rule.Mode != vanish.On
	switch {
	case taken == routes.NotTaken: // told as any reason to keep
	case observes:
		s.counts.WouldEvict++
		d.Kind = WouldEvict
	case taken == routes.Inherited:
		s.counts.Kept[vanish.Heir]++
		d.Why = vanish.Heir
		fallthrough
	default:
		s.counts.Evicted++
	}
	if taken != routes.NotTaken {
		s.note(d)
	}
	s.mu.Unlock()
	switch {
	case taken == routes.NotTaken:
	case observes:
		s.cfg.Logger.Warn("host vanished: broker would be evicted (--dead-hosts=observe)", "cluster", e.Cluster, "broker", e.Name, "id", e.BrokerID,
			"addr", e.Addr, "silence", round(e.Silence), "unanswered", e.Unanswered, "connects", e.Connects,
			"agreed", strings.Join(e.Agreed, ","), "mute", strings.Join(e.Mute, ","), "nodes", e.Nodes, "quorum", e.Quorum)
	default:
		s.cfg.Logger.Warn("host vanished: broker evicted", "cluster", e.Cluster, "broker", e.Name, "id", e.BrokerID,
			"addr", e.Addr, "silence", round(e.Silence), "unanswered", e.Unanswered, "connects", e.Connects,
			"agreed", strings.Join(e.Agreed, ","), "mute", strings.Join(e.Mute, ","), "nodes", e.Nodes, "quorum", e.Quorum,
			"heir", taken == routes.Inherited)
		s.cfg.Evicted(e.Silence, eff)
	}
}

// restore puts back what was taken out, for its host is heard again on the very connection: by a look made under the lock that puts back.
func (s *Shell) restore(r *vanish.Restoration) (back bool) {
	s.mu.Lock()
	alive := func() bool {
		l, ok := s.glance(r.Conn)
		return ok && r.Stands(!l.Closed, vanish.Reading{Heard: l.Heard}, s.cfg.Clock())
	}
	done, eff := s.cfg.Tables.Restore(&routes.Restoration{
		Key:      tombstone.Key{Cluster: r.Cluster, Addr: r.Addr},
		Identity: tombstone.Identity{Name: r.Name, BrokerID: r.BrokerID, RemoteIP: r.Source},
		Owner:    r.Conn, Alive: alive,
	})
	if back = done == routes.PutBack; back {
		s.claims[r.Subject] = held{r.Claim, rpc.Watched}
		s.counts.Restored++
		s.note(Decision{Kind: Restored, Claim: r.Claim, Silence: s.cfg.Clock().Sub(r.Evicted)})
	}
	if done != routes.NotYet {
		s.rule.Restored(r, back)
	}
	s.mu.Unlock()
	if back {
		s.cfg.PutBack(eff)
	}
	return back
}

// tell counts and logs an event. restored says that its claim has just been put back.
func (s *Shell) tell(e *vanish.Event, restored bool) {
	host, log := e.Claim.Source, s.cfg.Logger
	s.mu.Lock()
	switch e.Kind {
	case vanish.Kept:
		s.counts.Kept[e.Why]++
		s.note(Decision{Kind: Kept, Claim: e.Claim, Why: e.Why, By: e.By, Silence: e.Silence})
	case vanish.Refuted:
		s.counts.Refuted[e.By]++
		s.note(Decision{Kind: Refuted, Claim: e.Claim, By: e.By, Silence: e.Silence})
	}
	s.mu.Unlock()
	switch e.Kind {
	case vanish.Silent:
		log.Info("host silent: asking the other nodes", "host", host, "broker", e.Claim.Name, "addr", e.Claim.Addr, "silence", round(e.Silence))
	case vanish.AliveNow:
		log.Info("host alive again", "host", host, "after", round(e.Silence))
	case vanish.Kept:
		log.Info("silent host kept", "host", host, "broker", e.Claim.Name, "addr", e.Claim.Addr, "why", e.Why.Name(), "by", e.By, "silence", round(e.Silence))
	case vanish.Refuted:
		log.Warn("eviction of a vanished host refuted: it is heard again", "broker", e.Claim.Name, "addr", e.Claim.Addr, "by", e.By, "after", round(e.Silence),
			"restored", restored)
	case vanish.HoldBegan:
		log.Error("dead-host evictions on hold for ten minutes: three were refuted within ten minutes; raise --dead-host-after or look for freezes")
	case vanish.BrakeBegan:
		log.Warn("so many hosts are silent here that none is taken for vanished: look at this node's own network first", "silent", e.Quiet, "hosts", e.Hosts)
	case vanish.BrakeEnded:
		log.Info("silent hosts are few enough again to be judged")
	case vanish.Gap:
		log.Warn("this node was not running for a while: silences are counted anew")
	}
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
