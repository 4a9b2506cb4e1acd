package node

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
)

// Brokers with many topics come back in one moment to a node that has just started and knows none of them, and that has memory for three
// of their five registrations: each waits for its turn, and none is refused or cut off. (A tenth of 15,000 topics in 64 MiB.)
func TestLargeRegistrationsAtOnce(t *testing.T) {
	topics := 1_500
	if testing.Short() { // who waits for a second because the machine is slow is cut off
		topics = 1_000
	}
	for _, sources := range []int{1, 5} {
		t.Run(fmt.Sprint(sources), func(t *testing.T) {
			n := startNode(t, func(c *config.Config) {
				proxyFromHere(c)
				c.Memory.Passing, c.Memory.Tables = int64(topics)*1_118, 4<<20
			})
			content := manyTopics("topic-"+strings.Repeat("x", 80), topics)
			var all sync.WaitGroup
			for i := range 5 {
				c := dialBehind(t, n, fmt.Sprint("10.0.0.", 1+i%sources))
				name := fmt.Sprint("broker-", i)
				all.Go(func() {
					if a := ask(t, c, remoting.RegisterBroker, ownHeader(name, name+":1"), content); a.Code != 0 {
						t.Errorf("%s, %d bytes: %d %s", name, len(content), a.Code, a.Remark)
					}
				})
			}
			all.Wait()
			if brokers := n.table.Stats().Brokers; brokers != 5 {
				t.Errorf("%d brokers", brokers)
			}
		})
	}
}
