package admin

import (
	"slices"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/routes"
)

// conflictsKept is how many conflicts are remembered for /v1/conflicts.
const conflictsKept = 256

// conflicts remembers the last conflicts between registrations. One that comes again with every registration takes one
// place: the newest.
type conflicts struct {
	mu    sync.Mutex // guards the following fields
	total uint64
	last  []api.Conflict // oldest first
}

func (c *conflicts) add(e *routes.Event) {
	v := api.Conflict{
		At: time.Now(), Kind: e.Kind.Name(), What: e.Kind.String(),
		Cluster: mq.Cut(e.Cluster), Broker: mq.Cut(e.Name), ID: e.ID, Addr: mq.Cut(e.Addr), Old: mq.Cut(e.Old),
	}
	if e.Source.Addr.IsValid() {
		v.Remote = e.Source.Addr.String()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	same := func(o api.Conflict) bool { o.At = v.At; return o == v }
	if i := slices.IndexFunc(c.last, same); i >= 0 {
		c.last = slices.Delete(c.last, i, i+1)
	} else if len(c.last) >= conflictsKept {
		c.last = slices.Delete(c.last, 0, 1)
	}
	c.last = append(c.last, v)
}

func (c *conflicts) list(limit int) api.Conflicts {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := thisMoment()
	v := api.Conflicts{Asked: now.asked(), Total: c.total, Conflicts: []api.Conflict{}}
	for _, one := range slices.Backward(c.last) {
		if len(v.Conflicts) == limit {
			break
		}
		one.At = now.of(one.At)
		v.Conflicts = append(v.Conflicts, one)
	}
	return v
}
