package whole

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/world"
)

// lag is how much later than at the first node a registration may be at the last one: brokers send to all at once, and wait for none.
const lag = time.Second

// TestRegistrationsWarnOfNothing: brokers register every 30 s, each time with other topics at one in four, and reach the nodes one after the
// other within a second. Nothing is wrong, and no node warns of anything. A broker that one node goes on not
// hearing of is warned of.
func TestRegistrationsWarnOfNothing(t *testing.T) {
	periods := int(world.Number(t, "PERIODS", 20))
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config{nodes: 3, seed: 1})
		defer w.close()
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		defer group.Wait()
		defer cancel()
		registered := make([]int, rollBrokers)
		for i := range rollBrokers {
			group.Go(func() { registered[i] = steady(ctx, w, i, w.machine) })
		}
		w.sleep(heartbeat)
		_ = w.warnings() // seeds that had not started yet
		w.sleep(time.Duration(periods) * heartbeat)
		if warned := w.warnings(); len(warned) > 0 {
			t.Errorf("%d lines, the first:\n%s", len(warned), strings.Join(warned[:min(5, len(warned))], "\n"))
		}
		group.Go(func() { steady(ctx, w, rollBrokers, w.machine[:2]) })
		w.sleep(2 * heartbeat)
		if warned := w.warnings(); len(warned) == 0 {
			t.Error("nobody warns of a broker that one node does not hear of")
		}
		cancel()
		group.Wait()
		all := 0
		for _, n := range registered {
			all += n
		}
		t.Logf("%d REGISTERs", all)
		if all < periods*3*rollBrokers {
			t.Errorf("%d REGISTERs in %d periods", all, periods)
		}
	})
}

// steady is a broker that registers at those nodes until ctx ends, and answers how often it did.
func steady(ctx context.Context, w *World, i int, at []*machine) (registered int) {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	clients := make([]*rpc.Client, len(at))
	for n, m := range at {
		clients[n] = connect(m.current(), 1+i)
		defer clients[n].Close()
	}
	pause := func(d time.Duration) bool {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
			return true
		}
	}
	version, topics := int64(1), []string{topicOf(i), "common"}
	next := time.Now().Add(time.Duration(i) * heartbeat / rollBrokers)
	for pause(time.Until(next)) {
		next = next.Add(heartbeat)
		if rng.IntN(4) == 0 {
			version++
			topics = append(topics[:2:2], fmt.Sprintf("%s-%d", topicOf(i), version))
		}
		reg := body.Register{Version: body.DataVersion{Timestamp: 1_700_000_000_000, Counter: version}}
		for _, name := range topics {
			reg.Topics = append(reg.Topics, body.TopicConfig{Name: []byte(name), ReadQueueNums: 4, WriteQueueNums: 4, Perm: 6})
		}
		text := body.AppendRegister(nil, &reg)
		for _, n := range rng.Perm(len(clients)) {
			if !pause(time.Duration(rng.Int64N(int64(lag) / int64(len(clients))))) {
				return registered
			}
			a, err := clients[n].Invoke(ctx, &remoting.Command{Code: remoting.RegisterBroker, Version: remoting.Version, Body: text, Ext: map[string]string{
				"clusterName": "steady", "brokerName": fmt.Sprintf("broker-%d", i), "brokerId": "0", "compressed": "false",
				"brokerAddr": fmt.Sprintf("192.0.2.%d:10911", 1+i), "haServerAddr": fmt.Sprintf("192.0.2.%d:10912", 1+i), "bodyCrc32": kit.CRC(text),
			}})
			if err == nil && a.Code == remoting.Success {
				registered++
			}
		}
	}
	return registered
}
