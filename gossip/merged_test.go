package gossip

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Two nodes that have run for long without each other were two clusters, and that is said; one that has just started joins
// as usual, and one that was away comes back as usual.
func TestTwoClustersThatBecomeOne(t *testing.T) {
	var ahead atomic.Int64
	named := func(name string, seeds ...string) func(*Config) {
		return func(c *Config) {
			c.Name, c.Seeds = name, seeds
			c.Clock = func() clock.Stamp { return clock.Now().Add(time.Duration(ahead.Load())) }
		}
	}
	n1, log := logged(t, named("n1"))
	run(t, made(t, named("young", n1.Addr())))
	kit.Until(t, "the young one", func() bool { return strings.Contains(log.String(), "member=young") })
	other := made(t, named("other", n1.Addr()))
	ahead.Store(int64(2 * longAlone))
	run(t, other)
	run(t, made(t, named("young2", n1.Addr())))
	kit.Until(t, "both", func() bool { return strings.Contains(log.String(), "member=young2") })
	kit.Until(t, "the word", func() bool { return strings.Contains(log.String(), "two clusters have become one") })
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "two clusters have become one") && (!strings.Contains(line, "member=other ") || !strings.Contains(line, "level=WARN")) {
			t.Error(line)
		}
	}
	if n := strings.Count(log.String(), "two clusters have become one"); n != 1 {
		t.Errorf("told %d times", n)
	}
	p := other.Self()
	if !n1.inbox.seen(p) || n1.inbox.seen(tombstone.Peer{Name: "other", Boot: p.Boot + 1}) {
		t.Error("a member that was there is not known again, or another life of it is")
	}
}
