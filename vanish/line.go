package vanish

import (
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

const (
	lookError = 20 * time.Millisecond // by which a kernel's "last heard" may be too old: granted to life
	calibrate = 3                     // probes that were answered before the silence of a connection counts
	inVain    = time.Second           // from which age on a transmission without an answer counts as unanswered
	maxWaits  = 64                    // transmissions that are remembered; more would say nothing more
)

// Reading is what a kernel says of a watched connection at one moment (see rpc.Look).
type Reading struct {
	Heard               time.Duration // since the last ACK or data came
	Probes, Retransmits uint8         // that wait for an answer, modulo 256; 0 again with the next ACK
	DataIn, DataOut     uint32        // segments with data so far
	Unacked             uint32        // segments that wait for an ACK
}

// Line is what the looks at a watched connection have shown. The zero Line has seen nothing.
type Line struct {
	last     Reading
	at       clock.Stamp // of the last look; zero: there was none
	life     clock.Stamp // the newest sign of life, or younger
	answered int         // probes
	waits    []clock.Stamp
}

// Look takes a reading of now.
func (l *Line) Look(r Reading, now clock.Stamp) {
	first := l.at.IsZero()
	// Were nothing heard since the last look, it would be as much longer ago as time has gone by. A word that came within the errors of
	// the one before goes unnoticed; nothing has been sent in vain between the two, for kernels wait 200 ms at least.
	heard := first || r.Heard < l.last.Heard+now.Elapsed(l.at)-2*lookError
	if heard && !first && l.answered < calibrate &&
		l.last.Unacked == 0 && r.DataIn == l.last.DataIn && r.DataOut == l.last.DataOut {
		l.answered++ // nothing was under way that an ACK could be of, but a probe
	}
	if heard || r.Probes < l.last.Probes || r.Retransmits < l.last.Retransmits { // an ACK came, whatever the times say
		l.waits, l.last.Probes, l.last.Retransmits = l.waits[:0], 0, 0
	}
	// Each is as old as the look that saw it first: younger than it is, and so counts later.
	for range min(int(r.Probes-l.last.Probes)+int(r.Retransmits-l.last.Retransmits), maxWaits-len(l.waits)) {
		l.waits = append(l.waits, now)
	}
	if life := now.Add(-max(r.Heard-lookError, 0)); first || l.life.Before(life) {
		l.life = life
	}
	l.last, l.at = r, now
}

// Life is the newest sign of life that the connection showed, or a younger moment; false: there was no look.
func (l *Line) Life() (clock.Stamp, bool) { return l.life, !l.at.IsZero() }

// LastLook is when the last look was; zero: there was none.
func (l *Line) LastLook() clock.Stamp { return l.at }

// Calibrated says that probes were answered on the connection: else its silence says nothing, for something on the way may eat them.
func (l *Line) Calibrated() bool { return l.answered >= calibrate }

// Unanswered is how many transmissions have waited for an answer since the last sign of life, each for longer than a second.
func (l *Line) Unanswered(now clock.Stamp) (n int) {
	for _, w := range l.waits {
		if now.Elapsed(w) >= inVain {
			n++
		}
	}
	return n
}

// Attention is whether this node was looking all the while. The zero Attention has not begun.
type Attention struct {
	last clock.Stamp
	from clock.Stamp // since when it has looked without a gap
	gaps int
}

const (
	lateLook  = 500 * time.Millisecond // a look that is later than this was a gap
	clockSlip = 100 * time.Millisecond // by which both clocks may differ between two looks: more is a suspend
)

// Looks says that the node looks now, the next look having been due after so long. True: there was a gap, by either clock; silence counts
// anew from now.
func (a *Attention) Looks(now clock.Stamp, due time.Duration) (gap bool) {
	if a.last.IsZero() {
		a.last, a.from = now, now
		return false
	}
	raw, boot := time.Duration(now.Raw-a.last.Raw), time.Duration(now.Boot-a.last.Boot)
	late, slip := max(raw, boot)-due, max(raw, boot)-min(raw, boot)
	a.last = now
	if gap = late > lateLook || slip > clockSlip; gap {
		a.from = now
		a.gaps++
	}
	return gap
}

// Since is since when the node has looked without a gap.
func (a *Attention) Since() clock.Stamp { return a.from }

// Gaps is how many there were.
func (a *Attention) Gaps() int { return a.gaps }
