package node

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/routes"
)

const (
	// sharedEvery is how often shared sources are looked for: every registration is looked at.
	sharedEvery = time.Minute
	// sharedTold bounds how many sources are told of.
	sharedTold = 1024
)

// sharedSources tells of source addresses from which brokers of several hosts come (routes.SharedSource): there the order of
// connections and tombstones may take one broker for another. It is for one goroutine but for its number.
type sharedSources struct {
	n      atomic.Int64
	looked clock.Stamp
	told   map[mq.Source]struct{}
}

// look counts them once in a while, and tells of each once.
func (s *sharedSources) look(table *routes.Table, now clock.Stamp, log *slog.Logger) {
	if !s.looked.IsZero() && now.Sub(s.looked) < sharedEvery {
		return
	}
	s.looked = now
	all := table.SharedSources()
	s.n.Store(int64(len(all)))
	for _, one := range all {
		if _, known := s.told[one.Source]; known || !one.Ordered || len(s.told) >= sharedTold {
			continue
		}
		if s.told == nil {
			s.told = map[mq.Source]struct{}{}
		}
		s.told[one.Source] = struct{}{}
		log.Warn("brokers of several hosts come from one source address (Docker Desktop, NAT, a balancer): whoever shares it can be taken "+
			"for them; if it is not one machine, leave it out of --tombstones-from", "source", one.Source.Addr.String(),
			"hosts", len(one.Hosts), "first", one.Hosts[0])
	}
}
