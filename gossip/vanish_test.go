package gossip

import (
	"reflect"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/vanish"
)

// TestTell: a message about a silent host reaches a member by packet and by stream, and nobody else.
func TestTell(t *testing.T) {
	heard := make(chan vanish.Message, 8)
	nodes := startCluster(t, 2, func(i int, c *Config) {
		if i == 1 {
			c.OnVanish = func(m vanish.Message) {
				select {
				case heard <- m:
				default:
				}
			}
		}
	})
	first, second := nodes[0], nodes[1]
	to := second.Self()
	for _, stream := range []bool{true, false} {
		for _, m := range vanishExamples() {
			kit.Until(t, "heard as it was said", func() bool { // again and again: packets are lost, also on loopback
				if first.Tell(to, m, stream) == vanish.NotSent {
					t.Fatal("not sent")
				}
				for {
					select {
					case got := <-heard:
						if reflect.DeepEqual(got, m) {
							return true
						}
					default:
						return false
					}
				}
			})
		}
	}
	first.streams.mu.Lock()
	open := first.streams.all
	first.streams.all = streamsAtOnce
	first.streams.mu.Unlock()
	if got := first.Tell(to, vanishExamples()[0], true); got != vanish.HeldBack {
		t.Errorf("with all streams open: %v", got)
	}
	first.streams.mu.Lock()
	first.streams.all -= streamsAtOnce - open
	first.streams.mu.Unlock()
	if to.Boot++; first.Tell(to, vanishExamples()[0], false) != vanish.NotSent {
		t.Error("another life of that member is told")
	}
	if first.Tell(second.Self(), vanish.Alive{From: vanish.Peer{Name: string(make([]byte, vanish.MaxMessage))}}, false) != vanish.NotSent {
		t.Error("a message that is too long is sent")
	}
}

// TestVanishMessagesThatAreRefused: where nobody wants them they are of a type that is not known, as they are for former releases; else
// what is wrong with them is counted.
func TestVanishMessagesThatAreRefused(t *testing.T) {
	for _, m := range vanishExamples() {
		b, err := encodeVanish(m)
		kit.Must(t, err)
		g := deaf(t)
		delegate{g}.NotifyMsg(b)
		if got := g.Counts().RefusedType; got != 1 {
			t.Errorf("%T: %d refused for their type", m, got)
		}
		g = deaf(t)
		heard := 0
		g.cfg.OnVanish = func(vanish.Message) { heard++ }
		delegate{g}.NotifyMsg(b[:len(b)-1])
		later := append([]byte{b[0], wireVersion + 1}, b[headLen:]...)
		delegate{g}.NotifyMsg(later)
		delegate{g}.NotifyMsg(append([]byte{b[0], wireVersion}, make([]byte, vanish.MaxMessage)...))
		empty, err := encode(b[0], wireAlive{From: wirePeer{Name: "n2"}}) // says nothing, whatever it is
		kit.Must(t, err)
		delegate{g}.NotifyMsg(empty)
		c := g.Counts()
		if c.RefusedFormat != 2 || c.RefusedVersion != 1 || c.RefusedSize != 1 || heard != 0 {
			t.Errorf("%T: refused for format %d, version %d, size %d; heard %d", m, c.RefusedFormat, c.RefusedVersion, c.RefusedSize, heard)
		}
	}
}

func TestNodesAreCountedWithTheDead(t *testing.T) {
	at := func(state State, serves string) Member { return Member{State: state, Meta: Meta{NameServer: serves}} }
	for what, c := range map[string]struct {
		members []Member
		want    int
	}{
		"alone":                     {[]Member{at(StateAlive, "")}, 1},
		"three":                     {[]Member{at(StateAlive, "a"), at(StateAlive, "b"), at(StateAlive, "c")}, 3},
		"two and a lost one":        {[]Member{at(StateAlive, "a"), at(StateAlive, "b"), at(StateFailed, "c")}, 3},
		"two, and one left":         {[]Member{at(StateAlive, "a"), at(StateAlive, "b"), at(StateLeft, "c")}, 2},
		"a lost one was replaced":   {[]Member{at(StateAlive, "a"), at(StateAlive, "b"), at(StateFailed, "b")}, 2},
		"two lost ones":             {[]Member{at(StateAlive, "a"), at(StateFailed, "b"), at(StateFailed, "c")}, 3},
		"nobody knows where":        {[]Member{at(StateAlive, ""), at(StateFailed, "")}, 2},
		"twice lost at one address": {[]Member{at(StateAlive, "a"), at(StateFailed, "b"), at(StateFailed, "b")}, 3},
	} {
		if got := nodesOf(c.members); got != c.want {
			t.Errorf("%s: %d nodes, want %d", what, got, c.want)
		}
	}
}
