package addresses

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
)

// Stop is what is known when somebody asks whether this node may be stopped.
type Stop struct {
	Members []gossip.Member
	Digests digest.View
	Ignored []string // names of brokers that register at this node only
	AnyKV   bool     // KV values that differ are no reason
	Lists   *View    // nil: this node has no address server
	Wishes  bool     // it is this node that is to be stopped (digest.Ledger.Wish), and nobody only asks
}

// mostNamed bounds a reason that names brokers.
const mostNamed = 5

// Reasons are why this node should not be stopped now; none: it may be. Not settled: some say no more than that something is
// not known yet.
func (s *Stop) Reasons() (reasons []string, settled bool) {
	say := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	all := current(s.Members)
	i := slices.IndexFunc(all, func(m gossip.Member) bool { return m.Self })
	if i < 0 {
		return []string{"no other node would be left: this one gossips with nobody"}, true
	}
	self := &all[i]
	settled = true
	left, listed, known, alive := 0, 0, 0, 0
	for _, m := range all {
		if m.State != gossip.StateLeft {
			known++
		}
		if m.State == gossip.StateAlive {
			alive++
		}
		if m.Self || m.State != gossip.StateAlive {
			continue
		}
		its := s.digestOf(&m)
		going := m.Phase == gossip.PhaseDraining || m.Phase == gossip.PhaseStopping
		// Of two that drain and wait for each other the one with the lower name goes first. One of a former release does not say that it waits.
		waits := m.Phase == gossip.PhaseDraining && self.Phase == gossip.PhaseDraining && self.Name < m.Name && (its.Wishes && its.Lets || !its.Turns)
		if going && !waits {
			say("%s is %s: one after the other", m.Name, m.Phase)
			continue
		}
		if m.Witnessed && (m.Phase == gossip.PhaseReady || waits) {
			left++
			if waits && m.Serve.IsValid() || s.Lists != nil && slices.Contains(s.Lists.Clients, m.Serve) {
				listed++
			}
		}
		if its.Wishes && !s.Wishes && !s.Digests.Turn {
			say("%s is to be stopped (epitaph safe-to-stop --wait): one after the other", m.Name)
		}
		why, found := s.lacks(&m)
		if why != "" {
			say("%s", why)
		}
		settled = settled && found
		if its.Heard && s.Digests.KV && !s.AnyKV {
			why, found = lacksKV(&m, &its)
			if why != "" {
				say("%s", why)
			}
			settled = settled && found
		}
	}
	switch {
	case left == 0:
		say("no other node would be left that has held every broker and takes clients")
	case s.Lists != nil && s.Lists.Still == "" && listed == 0:
		say("no node would be left in the clients' list: the others are left out of it (epitaph_address_left_out)")
	}
	switch {
	case s.Lists != nil && s.Lists.Still != "":
		say("the address lists stay as they are: %s", s.Lists.Still)
	case 2*alive <= known && left > 0: // those on the other side may let one go, too
		say("%d of %d members are seen, which is no majority: this node may be the one that is cut off", alive, known)
	}
	return reasons, settled
}

// digestOf is what a member says of what it holds; nothing, where that is not known.
func (s *Stop) digestOf(m *gossip.Member) (p digest.PeerView) {
	if i := slices.IndexFunc(s.Digests.Peers, func(p digest.PeerView) bool { return p.Peer == m.Peer }); i >= 0 {
		p = s.Digests.Peers[i]
	}
	return p
}

// kvSettles is how long a tool may take to change KV values at one node after the other.
const kvSettles = time.Second

// lacksKV says why clients of another member would not read the KV values of this node; known is false while a change may be on its way.
func lacksKV(m *gossip.Member, its *digest.PeerView) (why string, known bool) {
	switch {
	case m.KVMissing:
		return m.Name + " serves routes alone: its KV store is missing, and this node holds KV values", true
	case its.KVDiffers:
		return "the KV values of " + m.Name + " are not those of this node: epitaph diff names them", its.KVFor >= kvSettles
	}
	return "", true
}

// lacks says which brokers of this node another one does not hold; known is false while that is being found out.
func (s *Stop) lacks(m *gossip.Member) (why string, known bool) {
	i := slices.IndexFunc(s.Digests.Peers, func(p digest.PeerView) bool { return p.Peer == m.Peer })
	switch {
	case i < 0 || !s.Digests.Peers[i].Heard:
		return "it is not known what " + m.Name + " holds", i >= 0
	case s.Digests.Peers[i].Silent:
		return m.Name + " has not said for a while what it holds", true
	case !s.Digests.Peers[i].Compared || s.Digests.Peers[i].Comparing:
		return "what " + m.Name + " holds is being compared", false
	}
	var names []string
	for _, d := range s.Digests.Peers[i].Differences {
		if d.HasHere && !d.HasThere && !slices.Contains(s.Ignored, d.Key.Name) {
			names = append(names, fmt.Sprintf("%s id %d at %s", d.Key.Name, d.Key.ID, d.Key.Addr))
		}
	}
	if len(names) == 0 {
		return "", true
	}
	if n := len(names); n > mostNamed {
		names = append(names[:mostNamed], fmt.Sprintf("%d more", n-mostNamed))
	}
	return fmt.Sprintf("%s lacks %s, which this node holds", m.Name, strings.Join(names, ", ")), true
}
