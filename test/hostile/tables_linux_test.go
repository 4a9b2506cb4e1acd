package hostile

import (
	"fmt"
	"testing"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Brokers that fill the tables, each with topics of its own, are taken until there is no room, and the process stays within the
// memory of the container that docker-compose.yml gives it: with its GOMEMLIMIT, and without.
func TestTablesKeepToTheMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: the server is a process of its own, without the race detector; make test has it")
	}
	const memory = 64 << 20
	for name, c := range map[string]struct {
		limit          string
		topics, expect int
	}{
		"compose, many topics":    {"40MiB", 20_000, 3},
		"compose, few topics":     {"40MiB", 1000, 60},
		"no GOMEMLIMIT, the same": {"", 20_000, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", c.limit)
			s := &server{Node: kit.Serve(t, kit.Binary(t), "attacked", t.TempDir(), "--memory", "64MiB")}
			p := kit.Dial(t, s.Addr)
			taken := 0
			for ; ; taken++ {
				b := kit.NewBroker(t, fmt.Sprint("b", taken), fmt.Sprintf("192.0.2.1:%d", taken+1))
				for i := range c.topics {
					b.Topics = append(b.Topics, fmt.Sprintf("tenant-%04d-orders-%010d", taken, i))
				}
				if a := p.Call(b.Registration()); a.Code == int(remoting.SystemBusy) {
					break
				} else if peak := s.memory(t).peak; a.Code != 0 || peak > 2*memory {
					t.Fatalf("broker %d: code %d, %d bytes", taken, a.Code, peak)
				}
			}
			m := s.memory(t)
			t.Logf("%d brokers of %d topics each: at most %.1f MiB", taken, c.topics, float64(m.peak)/(1<<20))
			if taken < c.expect {
				t.Errorf("%d brokers were taken, want %d", taken, c.expect)
			}
			if m.peak > memory {
				t.Errorf("it took %d bytes, and may have %d", m.peak, memory)
			}
		})
	}
}
