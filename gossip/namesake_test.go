package gossip

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Two living nodes of one name are told after a while, with the flag and the other's address, and once; a restart, which
// looks the same at first, is not.
func TestTwoLivingNodesOfOneName(t *testing.T) {
	var ahead atomic.Int64
	first, log := logged(t, func(c *Config) {
		c.Clock = func() clock.Stamp { return clock.Now().Add(time.Duration(ahead.Load())) }
	})
	second := made(t, func(c *Config) { c.Seeds = []string{first.Addr()} })
	run(t, second)
	other := second.Addr()
	told := func() bool { first.kick(); return strings.Contains(log.String(), "give one of the two another --name") }
	kit.Until(t, "each other", func() bool { return len(first.Members()) == 2 })
	for range 20 {
		if told(); first.Counts().Namesake {
			t.Fatal("told at once: a restart would be told too")
		}
		<-time.After(time.Millisecond)
	}
	ahead.Store(int64(namesakeAfter + time.Second))
	kit.Until(t, "the word", func() bool { return told() && first.Counts().Namesake })
	if !strings.Contains(log.String(), other) || strings.Count(log.String(), "another living node") != 1 {
		t.Errorf("log: %s", log.String())
	}
}
