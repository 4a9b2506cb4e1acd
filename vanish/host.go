package vanish

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// Times are those of the rule, all in the same ratio to the first.
type Times struct {
	After   time.Duration // T: own silence from which on a registration may be evicted
	Vote    time.Duration // D: own silence from which on this node says silent
	Suspect time.Duration // from which on the host is asked harder
	Connect time.Duration // between two new connections meanwhile
}

// TimesOf are the times for T.
func TimesOf(after time.Duration) Times {
	return Times{After: after, Vote: after * 5 / 8, Suspect: after * 3 / 8, Connect: after / 32}
}

// What a host is asked while it is silent, and when not.
const (
	lookOften  = 2 * time.Second // silence from which on it is looked at with every tick
	LookEvery  = time.Second     // between two looks before
	Tick       = 250 * time.Millisecond
	probeEvery = 600 * time.Millisecond // Linux answers what a probe looks like once in 500 ms
	maxProbes  = 16                     // asked for in one silence
	maxTries   = 32                     // new connections in one silence
	triesOnce  = 4                      // of them at once
	tryInVain  = 500 * time.Millisecond // from which age on a new connection counts as unanswered

	// Once a registration was evicted: what is put back is to be back within a second.
	evictedProbe = 500 * time.Millisecond // between two probes
	evictedTry   = time.Second            // between two new connections

	firstTry    = time.Second      // from the first REGISTER to the first try of a new connection
	tryAgain    = 5 * time.Minute  // between two
	triesInVain = 30               // a second apart, that count as one
	answersFor  = 10 * time.Minute // for how long an answer says that new connections are answered
)

// Tried is what came of a new connection.
type Tried uint8

// The outcomes.
const (
	Failed     Tried = iota // this machine could not try: neither an answer nor unanswered
	Answered                // completed or reset by the host
	Unanswered              // nothing came, or a message of something on the way
)

// Host is what this node knows of a machine by its source address: its signs of life, and what it was asked in vain. Make one with NewHost.
type Host struct {
	times Times
	life  clock.Stamp // the newest sign, or younger

	probed     int // in this silence
	nextProbe  clock.Stamp
	tries      []try // in this silence, newest last
	nextTry    clock.Stamp
	evicted    bool
	lastAnswer clock.Stamp // to a new connection; zero: none yet
	checked    clock.Stamp // when the newest try to see whether new connections are answered is due
	checking   uint64      // its number while it is under way
	vain       int         // tries in a row that were not answered
}

type try struct {
	began clock.Stamp
	done  Tried
	open  bool
}

// NewHost begins with the first REGISTER that came from there.
func NewHost(t Times, now clock.Stamp) *Host {
	return &Host{times: t, life: now, checked: now.Add(firstTry)}
}

// Alive takes a sign of life that is no older than life.
func (h *Host) Alive(life clock.Stamp) {
	if h.life.Before(life) {
		h.life = life
	}
}

// Life is the newest sign of life, or younger.
func (h *Host) Life() clock.Stamp { return h.life }

// Silence is for how long nothing was heard at least, while this node listened since then.
func (h *Host) Silence(since, now clock.Stamp) time.Duration {
	return max(min(now.Elapsed(h.life), now.Elapsed(since)), 0)
}

// Evicted says that a registration was evicted by this host's silence: it is asked on, or this node would vote by what is old.
func (h *Host) Evicted(is bool) { h.evicted = is }

// Asks is what is due now.
type Asks struct {
	Probe   bool // ask on every watched connection
	Connect bool // try a new connection, and call Tried with its number and outcome
	Try     uint64
}

// Ask says what the host is to be asked now. listening is since when this node has listened without a gap.
func (h *Host) Ask(listening, now clock.Stamp) (a Asks) {
	if h.Silence(listening, now) < h.times.Suspect {
		h.probed, h.tries = 0, h.keepOpen()
		return h.check(a, now)
	}
	probeGap, tryGap, most := probeEvery, h.times.Connect, maxTries
	if h.evicted { // and another broker of it may be judged
		most = len(h.tries) + 1
		if h.probed >= maxProbes {
			probeGap = evictedProbe
		}
		if len(h.tries) >= maxTries {
			tryGap = evictedTry
		}
	}
	if (h.probed < maxProbes || h.evicted) && now.Sub(h.nextProbe) >= 0 {
		a.Probe = true
		h.probed++
		h.nextProbe = now.Add(probeGap)
	}
	switch {
	case len(h.tries) >= most:
		return h.check(a, now)
	case h.open() < triesOnce && now.Sub(h.nextTry) >= 0:
		h.nextTry = now.Add(tryGap)
		return h.begin(a, now)
	}
	return a
}

// begin notes a try.
func (h *Host) begin(a Asks, now clock.Stamp) Asks {
	a.Connect, a.Try = true, uint64(now.Boot)
	h.tries = append(h.tries, try{began: now, open: true})
	if extra := len(h.tries) - maxTries; extra > 0 { // after an eviction: what is forgotten is old
		h.tries = h.tries[extra:]
	}
	return a
}

// check tries now and then whether new connections are answered at all.
func (h *Host) check(a Asks, now clock.Stamp) Asks {
	if h.checking != 0 || now.Sub(h.checked) < 0 {
		return a
	}
	a = h.begin(a, now)
	h.checking = a.Try
	return a
}

func (h *Host) keepOpen() (open []try) {
	for _, t := range h.tries {
		if t.open {
			open = append(open, t)
		}
	}
	return open
}

func (h *Host) open() (n int) {
	for _, t := range h.tries {
		if t.open {
			n++
		}
	}
	return n
}

// Tried takes the outcome of a try.
func (h *Host) Tried(number uint64, outcome Tried, now clock.Stamp) {
	for i := range h.tries {
		if t := &h.tries[i]; t.open && uint64(t.began.Boot) == number {
			t.open, t.done = false, outcome
			break
		}
	}
	check := h.checking == number
	if check {
		h.checking = 0
	}
	switch {
	case outcome == Answered:
		h.Alive(now)
		h.lastAnswer, h.vain, h.checked = now, 0, now.Add(tryAgain)
	case !check:
	case h.vain+1 < triesInVain:
		h.vain++
		h.checked = now.Add(time.Second)
	default:
		h.vain, h.checked = 0, now.Add(tryAgain)
	}
}

// AnswersConnections says that a new connection was answered of late: else it may never be, and says nothing.
func (h *Host) AnswersConnections(now clock.Stamp) bool {
	return !h.lastAnswer.IsZero() && now.Age(h.lastAnswer) <= answersFor
}

// TriesInVain is how many new connections of this silence have waited for half a second in vain.
func (h *Host) TriesInVain(now clock.Stamp) (n int) {
	for _, t := range h.tries {
		if (t.open || t.done == Unanswered) && h.life.Before(t.began) && now.Elapsed(t.began) >= tryInVain {
			n++
		}
	}
	return n
}

// LookDue says that the host's connections are to be looked at now, having been looked at last.
func (h *Host) LookDue(last, listening, now clock.Stamp) bool {
	return last.IsZero() || now.Sub(last) >= LookEvery-Tick/2 || h.Silence(listening, now) >= lookOften
}

// Probe says that the host may be asked at once, because another node wants to know of it.
func (h *Host) Probe(now clock.Stamp) bool {
	if h.probed >= maxProbes || now.Sub(h.nextProbe) < 0 {
		return false
	}
	h.probed++
	h.nextProbe = now.Add(probeEvery)
	return true
}
