package tombstone

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Tries of one batch of hints or pulls: at once, every 10 ms ten times, then at doubling intervals. From the second
// try on packets go out twice: with 30 % loss that is what keeps the 99th percentile at 50 to 70 ms.
const (
	maxTries      = 14
	steadyTries   = 10
	firstInterval = 10 * time.Millisecond
	reliableAfter = 100 * time.Millisecond // UDP may be blocked: one try goes by stream as well
	lastWait      = time.Second            // for the answer to the last try
)

// schedule is the state of one batch's retries. Its zero value is due at once.
type schedule struct {
	try      int // tries made
	start    clock.Stamp
	due      clock.Stamp
	reliable bool // the try by stream was made
}

// due says that the next step is to be taken at or before now.
func (s *schedule) isDue(now clock.Stamp) bool { return s.try == 0 || now.Sub(s.due) >= 0 }

// step takes the next try: how many packets to send and whether to send by stream as well. It answers no packets
// when the tries are used up and the batch is to be given up.
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
	s.due = now.Add(interval(s.try))
	return packets, reliable
}

// interval is the wait after the n-th try.
func interval(n int) time.Duration {
	switch {
	case n >= maxTries:
		return lastWait
	case n <= steadyTries:
		return firstInterval
	default:
		return firstInterval << (n - steadyTries)
	}
}
