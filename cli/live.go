package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/epitaph-mq/epitaph/cli/output"
)

// Escape sequences that every terminal of the last forty years knows.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
	bold        = "\x1b[1m"
	dim         = "\x1b[2m"
	plainText   = "\x1b[0m"
)

// terminal is a screen that is drawn again and again in one place.
type terminal struct {
	out    *output.Stream
	size   func() (width, height int)
	colour bool
}

// terminalOf is the terminal behind w, or nil: then nothing is redrawn. A "dumb" one cannot.
func (p *program) terminalOf(w io.Writer) *terminal {
	out, ok := w.(*output.Stream)
	f := terminalFile(w)
	if !ok || f == nil || p.env("TERM") == "dumb" {
		return nil
	}
	return &terminal{out: out, size: func() (width, height int) { return sizeOf(f) }, colour: p.env("NO_COLOR") == ""}
}

// terminalFile is the terminal on which somebody may be looking at what is written to w, or nil.
func terminalFile(w io.Writer) *os.File {
	if s, ok := w.(*output.Stream); ok {
		w = s.To()
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// sizeOf is width and height; 80 x 24 where it cannot be told.
func sizeOf(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return screenWidth, 24
	}
	return width, height
}

// live draws until ctx ends, every so often and whenever the terminal changes its size, and then gives the terminal
// back as it was. Pictures that a terminal has no time for are left out: one that stands still sees the newest when it
// goes on.
func (t *terminal) live(ctx context.Context, every time.Duration, draw func(width, height int) []string) {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	tick := time.NewTicker(every)
	defer tick.Stop()
	_, _ = io.WriteString(t.out, enterScreen)
	defer func() { _, _ = io.WriteString(t.out, plainText+leaveScreen) }()
	for {
		width, height := t.size()
		if lines := draw(width, height); t.out.Idle() {
			_, _ = io.WriteString(t.out, frame(lines, width, height, t.colour))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-resized:
		}
	}
}

// frame is one picture, in one write so that nobody sees half of it. Lines that do not fit are cut, not wrapped.
func frame(lines []string, width, height int, colour bool) string {
	var b strings.Builder
	b.WriteString(goHome)
	for i, line := range lines[:min(len(lines), height)] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(cut(line, width, colour))
		b.WriteString(clearLine)
	}
	b.WriteString(clearBelow)
	return b.String()
}

// cut keeps the first width columns. Escape sequences take none; without colour they are left out.
func cut(line string, width int, colour bool) string {
	var b strings.Builder
	for columns := 0; line != ""; {
		if end := strings.IndexByte(line, 'm'); line[0] == '\x1b' && end >= 0 {
			if colour {
				b.WriteString(line[:end+1])
			}
			line = line[end+1:]
			continue
		}
		_, size := utf8.DecodeRuneInString(line)
		if columns++; columns <= width {
			b.WriteString(line[:size])
		}
		line = line[size:]
	}
	return b.String()
}
