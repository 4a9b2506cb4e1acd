package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// storyScreen writes lines, and in between a table that is drawn over itself on a terminal. Elsewhere the table is written
// when it is kept.
type storyScreen struct {
	w     io.Writer
	tty   bool
	color bool
	drawn int    // lines of the live table above the cursor
	last  string // the table as it was drawn last, plain
}

func newStoryScreen(w io.Writer) *storyScreen {
	s := &storyScreen{w: w}
	if p := NewProgress(w); p != nil {
		s.tty = p.tty
	}
	s.color = s.tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// say writes a line that stays.
func (s *storyScreen) say(format string, args ...any) {
	s.keep()
	fmt.Fprintf(s.w, format+"\n", args...)
}

// keep leaves the table where it is.
func (s *storyScreen) keep() {
	if s.last != "" && !s.tty {
		fmt.Fprint(s.w, s.last)
	}
	s.drawn, s.last = 0, ""
}

// table draws who lists the broker.
func (s *storyScreen) table(sides [2]*storySide) {
	var plain, shown strings.Builder
	head := fmt.Sprintf("   %-20s%-18s%-18s%-18s\n", "who lists broker-1?", "A", "B", "C")
	plain.WriteString(head)
	shown.WriteString(head)
	for _, side := range sides {
		fmt.Fprintf(&plain, "   %-20s", side.name)
		fmt.Fprintf(&shown, "   %-20s", side.name)
		for n := range storyNodes {
			text, good := side.cell(n)
			text = fmt.Sprintf("%-18s", text)
			plain.WriteString(text)
			shown.WriteString(s.paint(text, good))
		}
		plain.WriteString("\n")
		shown.WriteString("\n")
	}
	if s.last = plain.String(); !s.tty {
		return
	}
	if s.drawn > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA", s.drawn)
	}
	for line := range strings.Lines(shown.String()) {
		fmt.Fprint(s.w, "\r\x1b[K"+line)
	}
	s.drawn = strings.Count(shown.String(), "\n")
}

// paint makes bad cells red and departures green.
func (s *storyScreen) paint(text string, good bool) string {
	switch {
	case !s.color:
		return text
	case !good:
		return "\x1b[1;31m" + text + "\x1b[0m"
	case strings.HasPrefix(text, "gone"):
		return "\x1b[32m" + text + "\x1b[0m"
	}
	return text
}
