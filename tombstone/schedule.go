package tombstone

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Tries of one batch of hints or pulls: at once, ten times at intervals of 10 ms, then at doubling ones. From the
// second try on packets go out twice: with 30 % loss that is what keeps the 99th percentile at 50 to 70 ms. Where
// answers take longer than that, because the others are far away or because many answer one busy node at once, the
// intervals are as long as answers take (pace): repeats that overtake answers under way only make them later.
const (
	maxTries      = 14
	steadyTries   = 10
	firstInterval = 10 * time.Millisecond
	longestFirst  = 40 * time.Millisecond
	reliableAfter = 100 * time.Millisecond // UDP may be blocked: one try goes by stream as well
	lastWait      = time.Second            // for the answer to the last try
)

// schedule is the state of one batch's retries. Its zero value is due at once.
type schedule struct {
	try      int // tries made
	start    clock.Stamp
	last     clock.Stamp // of the newest try
	reliable bool        // the try by stream was made
}

// due is when the next step is to be taken, at the pace of this moment. Only after the first step.
func (s *schedule) due(p *pace) clock.Stamp { return s.last.Add(interval(s.try, p.first())) }

func (s *schedule) isDue(p *pace, now clock.Stamp) bool { return s.try == 0 || now.Sub(s.due(p)) >= 0 }

// step takes the next try: it says how many packets to send and whether to send by stream as well. No packets means that
// the tries are used up and the batch is given up.
func (s *schedule) step(now clock.Stamp) (packets int, reliable bool) {
	if s.try >= maxTries {
		return 0, false
	}
	packets = 2
	if s.try == 0 {
		packets, s.start = 1, now
	}
	reliable = !s.reliable && now.Sub(s.start) >= reliableAfter
	s.reliable = s.reliable || reliable
	s.try++
	s.last = now
	return packets, reliable
}

// interval is the wait after the n-th try.
func interval(n int, first time.Duration) time.Duration {
	switch {
	case n >= maxTries:
		return lastWait
	case n <= steadyTries:
		return first
	default:
		return first << (n - steadyTries)
	}
}

// pace is how long an answer to a PULL takes, smoothed as TCP does it (RFC 6298). Nonces tell which try was answered. The
// answer to a HINT would not do: it is a PULL, and may itself be a repeated one.
type pace struct {
	smoothed, deviation time.Duration
	known               bool
}

func (p *pace) answered(after time.Duration) {
	if !p.known {
		p.smoothed, p.deviation, p.known = after, after/2, true
		return
	}
	p.deviation += ((after - p.smoothed).Abs() - p.deviation) / 4
	p.smoothed += (after - p.smoothed) / 8
}

// first is the interval between the first tries.
func (p *pace) first() time.Duration {
	return min(max(p.smoothed+4*p.deviation, firstInterval), longestFirst)
}
