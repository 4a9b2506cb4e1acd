package vanished

import (
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/vanish"
)

// wouldEvict tells what an eviction would be. The claim must stand, with a look made now, as it would under the tables' lock.
func (s *Shell) wouldEvict(e *vanish.Eviction) {
	s.mu.Lock()
	c := s.conns[e.Conn]
	stands := false
	if c != nil {
		if l, ok := c.Look(); ok {
			stands = e.Stands(s.claims[e.Subject], !l.Closed, vanish.Reading{Heard: l.Heard})
		}
	}
	s.rule.Took(*e, stands)
	if stands {
		s.counts.WouldEvict++
		s.note(Decision{
			Kind: WouldEvict, Claim: e.Claim, Silence: e.Silence, Unanswered: e.Unanswered, Connects: e.Connects, Nodes: e.Nodes, Quorum: e.Quorum,
			Agreed: e.Agreed, Mute: e.Mute,
		})
	}
	s.mu.Unlock()
	if stands {
		s.cfg.Logger.Warn("host vanished: broker would be evicted (--dead-hosts=observe)", "cluster", e.Cluster, "broker", e.Name, "id", e.BrokerID,
			"addr", e.Addr, "silence", round(e.Silence), "unanswered", e.Unanswered, "connects", e.Connects,
			"agreed", strings.Join(e.Agreed, ","), "mute", strings.Join(e.Mute, ","), "nodes", e.Nodes, "quorum", e.Quorum)
	}
}

// tell counts and logs an event.
func (s *Shell) tell(e *vanish.Event) {
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
		log.Warn("eviction of a vanished host refuted: it is heard again", "broker", e.Claim.Name, "addr", e.Claim.Addr, "by", e.By, "after", round(e.Silence))
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
