package survey

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	paceWindow = 64                   // answers that a median is taken of
	paceNoise  = 5 * time.Millisecond // a median that is no longer than this beyond the best one says nothing
	paceLeast  = 32                   // the rate never falls below so small a part of what was asked for
)

// pace is how fast one peer is asked: at the rate that was asked for, halved each time when its answers take twice as long
// as the best it has shown, doubled again when they do not.
type pace struct {
	limit *rate.Limiter
	full  rate.Limit

	mu     sync.Mutex // guards the following fields
	window []time.Duration
	best   time.Duration
	halved int
}

func newPace(perSecond int) *pace {
	full := rate.Limit(max(perSecond, 1))
	return &pace{limit: rate.NewLimiter(full, max(perSecond/100, 1)), full: full}
}

func (p *pace) wait(ctx context.Context) error { return p.limit.Wait(ctx) }

// took is told of every answer.
func (p *pace) took(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.window = append(p.window, d); len(p.window) < paceWindow {
		return
	}
	slices.Sort(p.window)
	median := p.window[paceWindow/2]
	p.window = p.window[:0]
	if p.best == 0 || median < p.best {
		p.best = median
	}
	now := p.limit.Limit()
	switch {
	case median > 2*p.best && median > p.best+paceNoise:
		if next := max(now/2, p.full/paceLeast, 1); next < now {
			p.halved++
			p.limit.SetLimit(next)
		}
	case now < p.full:
		p.limit.SetLimit(min(2*now, p.full))
	}
}

// slowed is how often the rate was halved.
func (p *pace) slowed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.halved
}
