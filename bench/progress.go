package bench

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// Progress tells people how far a long run is: a line for each step, and on a terminal one line that is
// overwritten in between. The nil Progress is silent. Safe for concurrent use.
type Progress struct {
	mu   sync.Mutex
	w    io.Writer
	tty  bool
	live bool // the cursor is behind an overwritable line
}

// NewProgress writes to w; a nil w makes a silent Progress.
func NewProgress(w io.Writer) *Progress {
	if w == nil {
		return nil
	}
	p := &Progress{w: w}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			p.tty = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return p
}

// Step writes a line that stays.
func (p *Progress) Step(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// Live overwrites the last live line; without a terminal it writes nothing.
func (p *Progress) Live(format string, args ...any) {
	if p == nil || !p.tty {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, format, args...)
	p.live = true
}

// Done removes the live line.
func (p *Progress) Done() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *Progress) clear() {
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.live = false
	}
}
