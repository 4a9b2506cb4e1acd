package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/epitaph-mq/epitaph/cli/screen"
	"github.com/epitaph-mq/epitaph/mq"
)

// A line for people has screen.Width unless --wide is given; shortest is what is left of a cell at least.
const (
	screenWidth = screen.Width
	shortest    = 6
)

// table is text in columns. Cells come from brokers and other nodes: what a terminal could obey is made visible.
type table struct {
	rows [][]string // the first is the head
	keep int        // the column that is shortened last
}

func newTable(head ...string) *table { return &table{rows: [][]string{head}} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write aligns the columns. Unless wide, the widest are shortened until a line fits the screen.
func (t *table) write(w io.Writer, wide bool) error {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i := range row {
			row[i] = cell(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	if !wide {
		fit(widths, t.keep)
	}
	for _, row := range t.rows {
		for i := range row {
			row[i] = shorten(row[i], widths[i])
		}
	}
	return screen.Columns(w, t.rows, false)
}

// fit takes from the widest column as long as the line is too long: first down to what still tells a name, then from
// the column to keep down to an address with its port, then from all of them.
func fit(widths []int, keep int) {
	const name, address = 12, 22
	for _, least := range [][2]int{{name, screenWidth}, {name, address}, {shortest, shortest}} {
		for sumOf(widths) > screenWidth {
			widest := -1
			for i, w := range widths {
				floor := least[0]
				if i == keep {
					floor = least[1]
				}
				if w > floor && (widest < 0 || w > widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break
			}
			widths[widest]--
		}
	}
}

func sumOf(widths []int) int {
	sum := screen.Gap * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

// shorten leaves out the middle: names are told apart by their ends, addresses by their ports.
func shorten(s string, width int) string {
	r := []rune(s)
	if len(r) <= width || width < 3 {
		return s
	}
	head := (width - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(width-1-head):])
}

// printable replaces what moves a cursor, changes colours or reorders text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, s)
}

// cell is a name as it is written, however wide the screen: printable, and not longer than anybody reads.
func cell(s string) string { return printable(mq.Cut(s)) }

// table writes t as wide as it was asked for.
func (v *view) table(t *table) error { return t.write(v.out, v.wide || v.whole) }

// lines writes parts one after the other, with commas, on as many lines of the screen as it takes. The first line is
// indented by indent, the others by two more. Where nobody looks it is one line.
func (v *view) lines(indent int, parts ...string) {
	if v.whole {
		for i := range parts {
			parts[i] = cell(parts[i])
		}
		fmt.Fprintln(v.out, strings.Repeat(" ", indent)+strings.Join(parts, ", "))
		return
	}
	for i := range parts {
		room := screenWidth - indent
		if i > 0 {
			room -= 2
		}
		comma := ""
		if i < len(parts)-1 {
			room, comma = room-1, ","
		}
		parts[i] = shorten(printable(parts[i]), room) + comma
	}
	var text strings.Builder
	screen.Fill(&text, "", indent, indent+2, parts)
	_, _ = io.WriteString(v.out, text.String()) // a closed terminal is nobody to tell
}

// span is a duration for people: 0.8ms, 35ms, 4.2s, 42s, 12m, 3h, 5d.
func span(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%s%.1fms", sign, float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%s%dms", sign, d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%s%.1fs", sign, d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%s%ds", sign, int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%s%dm", sign, int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%s%dh", sign, int(d.Hours()))
	}
	return fmt.Sprintf("%s%dd", sign, int(d.Hours()/24))
}

// milliseconds is a figure of the API as a duration.
func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// ago is the time since t, for people; clocks that disagree show as now.
func ago(t, now time.Time) string { return span(max(now.Sub(t), 0)) + " ago" }

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
