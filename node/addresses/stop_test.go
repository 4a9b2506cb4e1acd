package addresses

import (
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
)

// Whether a node may be stopped, and why not.
func TestSafeToStop(t *testing.T) {
	lacking := func(n int, names ...string) digest.PeerView {
		p := digest.PeerView{Peer: node(n).Peer, Heard: true, Compared: true}
		for _, name := range names {
			p.Differences = append(p.Differences, digest.Difference{Key: digest.Key{Name: name, Addr: "10.9.9.9:10911"}, HasHere: true})
		}
		return p
	}
	view := func(peers ...digest.PeerView) digest.View { return digest.View{Peers: peers} }
	values := func(age time.Duration, differs bool) digest.View { // of the KV store of this node and of n2
		p := digest.PeerView{Peer: node(2).Peer, Heard: true, Compared: true, KVDiffers: differs, KVFor: age}
		return digest.View{KV: true, Peers: []digest.PeerView{p}}
	}
	withoutStore := with(node(2), func(m *gossip.Member) { m.KVMissing = true })
	known := view(lacking(2), lacking(3))
	changed := func(n int, change func(*digest.PeerView)) digest.PeerView {
		p := lacking(n)
		change(&p)
		return p
	}
	drains := func(m gossip.Member) gossip.Member {
		return with(m, func(m *gossip.Member) { m.Phase = gossip.PhaseDraining })
	}
	self := func(n int, m gossip.Member) gossip.Member {
		return with(m, func(m *gossip.Member) { m.Self = n == 0 })
	}
	for name, c := range map[string]struct {
		stop    Stop
		want    string // parts of the reasons, with ... between them; empty: it is safe
		settled bool
	}{
		"two others hold everything": {Stop{Members: []gossip.Member{node(1), node(2), node(3)}, Digests: known}, "", true},
		"it gossips with nobody":     {Stop{}, "no other node would be left", true},
		"it is the last one":         {Stop{Members: []gossip.Member{node(1), left(2)}}, "no other node would be left that has held", true},
		"the other one is lost":      {Stop{Members: []gossip.Member{node(1), lost(2, time.Hour)}}, "no other node would be left that has held", true},
		"the other one is by time":   {Stop{Members: []gossip.Member{node(1), byTime(2)}, Digests: known}, "no other node would be left that has held", true},
		"the other one waits":        {Stop{Members: []gossip.Member{node(1), phase(2, gossip.PhaseWaiting)}, Digests: known}, "no other node would be left that has held", true},
		"one lacks a broker": {Stop{Members: []gossip.Member{node(1), node(2), node(3)}, Digests: view(lacking(2), lacking(3, "b"))},
			"n3 lacks b id 0 at 10.9.9.9:10911", true},
		"that broker is ignored": {Stop{Members: []gossip.Member{node(1), node(2), node(3)}, Digests: view(lacking(2), lacking(3, "b")), Ignored: []string{"b"}}, "", true},
		"another one is not":     {Stop{Members: []gossip.Member{node(1), node(2)}, Digests: view(lacking(2, "b", "c")), Ignored: []string{"b"}}, "n2 lacks c id 0", true},
		"many are lacking":       {Stop{Members: []gossip.Member{node(1), node(2)}, Digests: view(lacking(2, "a", "b", "c", "d", "e", "f", "g"))}, "e id 0...2 more", true},
		"a node says nothing": {Stop{Members: []gossip.Member{node(1), node(2), node(3)}, Digests: view(lacking(2), changed(3, func(p *digest.PeerView) { p.Heard = false }))},
			"not known what n3 holds", true},
		"a node has just come": {Stop{Members: []gossip.Member{node(1), node(2), node(3)}, Digests: view(lacking(2))}, "not known what n3 holds", false},
		"a node is silent": {Stop{Members: []gossip.Member{node(1), node(2), node(3)}, Digests: view(lacking(2), changed(3, func(p *digest.PeerView) { p.Silent = true }))},
			"n3 has not said", true},
		"a node is being compared": {Stop{Members: []gossip.Member{node(1), node(2), node(3)}, Digests: view(lacking(2), changed(3, func(p *digest.PeerView) { p.Comparing = true }))},
			"being compared", false},
		"another one drains":              {Stop{Members: []gossip.Member{node(1), drains(node(2)), node(3)}, Digests: known}, "n2 is draining", true},
		"another one stops":               {Stop{Members: []gossip.Member{node(1), phase(2, gossip.PhaseStopping), node(3)}, Digests: known}, "n2 is stopping", true},
		"both drain, of a former release": {Stop{Members: []gossip.Member{drains(node(1)), drains(node(2)), node(3)}, Digests: known}, "", true},
		"both drain, the other":           {Stop{Members: []gossip.Member{self(0, drains(node(2))), self(1, drains(node(1))), node(3)}, Digests: view(lacking(1), lacking(3))}, "n1 is draining", true},
		"two are all, this first":         {Stop{Members: []gossip.Member{drains(node(1)), drains(node(2))}, Digests: known}, "", true},
		"both drain, the other waits": {Stop{Wishes: true, Members: []gossip.Member{drains(node(1)), drains(node(2)), node(3)},
			Digests: view(changed(2, func(p *digest.PeerView) { p.Turns, p.Wishes, p.Lets = true, true, true }), lacking(3))}, "", true},
		"both drain, the other goes": {Stop{Wishes: true, Members: []gossip.Member{drains(node(1)), drains(node(2)), node(3)},
			Digests: view(changed(2, func(p *digest.PeerView) { p.Turns, p.Lets = true, true }), lacking(3))}, "n2 is draining", true},
		"both drain, the other may": {Stop{Wishes: true, Members: []gossip.Member{drains(node(1)), drains(node(2)), node(3)},
			Digests: view(changed(2, func(p *digest.PeerView) { p.Turns, p.Wishes = true, true }), lacking(3))}, "n2 is draining", true},
		"another one is to be stopped": {Stop{Members: []gossip.Member{node(1), node(2), node(3)},
			Digests: view(changed(2, func(p *digest.PeerView) { p.Turns, p.Wishes = true, true }), lacking(3))}, "n2 is to be stopped", true},
		"both are to be, which Turn decides": {Stop{Wishes: true, Members: []gossip.Member{node(1), node(2), node(3)},
			Digests: view(changed(2, func(p *digest.PeerView) { p.Turns, p.Wishes = true, true }), lacking(3))}, "", true},
		"another one is to be, behind this": {Stop{Members: []gossip.Member{node(1), node(2), node(3)},
			Digests: digest.View{Turn: true, Peers: []digest.PeerView{changed(2, func(p *digest.PeerView) { p.Turns, p.Wishes = true, true }), lacking(3)}}}, "", true},
		"the other one lacks its KV store": {Stop{Members: []gossip.Member{node(1), withoutStore}, Digests: values(time.Second, true)}, "n2 serves routes alone", true},
		"that is ignored":                  {Stop{Members: []gossip.Member{node(1), withoutStore}, Digests: values(time.Second, true), AnyKV: true}, "", true},
		"this one has no KV values":        {Stop{Members: []gossip.Member{node(1), withoutStore}, Digests: view(lacking(2))}, "", true},
		"KV values differ":                 {Stop{Members: []gossip.Member{node(1), node(2)}, Digests: values(time.Second, true)}, "KV values of n2 are not those", true},
		"KV values have just changed":      {Stop{Members: []gossip.Member{node(1), node(2)}, Digests: values(time.Millisecond, true)}, "KV values of n2", false},
		"KV values are the same":           {Stop{Members: []gossip.Member{node(1), node(2)}, Digests: values(0, false)}, "", true},
		"half of all are lost": {Stop{Members: []gossip.Member{node(1), node(2), lost(3, time.Hour), lost(4, time.Hour)}, Digests: view(lacking(2))},
			"2 of 4 members are seen", true},
		"less than half are lost":  {Stop{Members: []gossip.Member{node(1), node(2), lost(3, time.Hour), left(4)}, Digests: view(lacking(2))}, "", true},
		"it drains alone":          {Stop{Members: []gossip.Member{drains(node(1)), node(2), node(3)}, Digests: known}, "", true},
		"the lists stay":           {Stop{Members: []gossip.Member{node(1), node(2), node(3)}, Digests: known, Lists: &View{Still: "cut off"}}, "stay as they are: cut off", true},
		"the others are left out":  {Stop{Members: []gossip.Member{node(1), with(node(2), func(m *gossip.Member) { m.Serve = zero })}, Digests: known, Lists: &View{}}, "no node would be left in the clients' list", true},
		"the others do not answer": {Stop{Members: []gossip.Member{node(1), node(2)}, Digests: known, Lists: &View{Clients: Addrs{addr(1)}}}, "no node would be left in the clients' list", true},
		"another one is listed":    {Stop{Members: []gossip.Member{node(1), node(2)}, Digests: known, Lists: &View{Clients: Addrs{addr(1), addr(2)}}}, "", true},
		"without an addressserver": {Stop{Members: []gossip.Member{node(1), with(node(2), func(m *gossip.Member) { m.Serve = zero })}, Digests: known}, "", true},
	} {
		reasons, settled := c.stop.Reasons()
		text := strings.Join(reasons, "; ")
		for _, part := range strings.Split(c.want, "...") {
			if !strings.Contains(text, part) || (c.want == "") != (text == "") || settled != c.settled {
				t.Errorf("%s: %q, settled %v, want %q", name, text, settled, c.want)
			}
		}
	}
}
