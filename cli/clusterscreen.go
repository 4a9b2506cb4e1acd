package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/epitaph-mq/epitaph/cluster"
)

// Columns of the live table: a name, and for each node either all of a cell or only how long ago the broker spoke.
const (
	fullCell  = 19
	fullForm  = "%6s%6s%7s"
	shortCell = 8
	nameCell  = 12 // at least
	freshFor  = 6 * time.Second
)

// clusterScreen is what the live screen shows beside the table.
type clusterScreen struct {
	watch   *cluster.Watch
	started time.Time
	explain []string // in words, at the bottom
	log     string   // where the lines of the log go
	warned  int      // how many of them are warnings
}

// draw is the picture for a terminal of that size: head, table, stream and, as far as there is room, the explanation.
func (s *clusterScreen) draw(width, height int) []string {
	looks, rows, now := s.watch.Looks(), s.watch.Rows(), s.watch.Now()
	if len(looks) == 0 {
		return nil
	}
	head := fmt.Sprintf("epitaph cluster: %s, up %s", plural(len(looks), "node", "nodes"), whole(now.Sub(s.started)))
	lines := []string{bold + spread(head, now.Local().Format("15:04:05")+"  Ctrl-C stops", width) + plainText}
	if notReady := unready(looks); notReady != "" {
		lines = append(lines, notReady)
	}
	lines = append(lines, "")
	explain := s.explain
	room := height - len(lines) - 5 // two heads of tables, two blank lines, the log
	if room < len(explain)+8 {
		explain = nil
	}
	room -= len(explain)
	table := max(1, min(len(rows), room*2/3))
	lines = append(lines, s.table(rows, table, width)...)
	stream := max(1, room-min(len(rows), table)-1)
	lines = append(lines, "", bold+"WHO LEFT, newest first"+plainText)
	lines = append(lines, s.stream(stream, now)...)
	if len(explain) > 0 {
		lines = append(lines, "")
		lines = append(lines, explain...)
	}
	return append(lines, dim+s.logLine()+plainText)
}

func (s *clusterScreen) logLine() string {
	if s.warned > 0 {
		return fmt.Sprintf("Log: %s (%s in it)", s.log, plural(s.warned, "warning", "warnings"))
	}
	return "Log: " + s.log
}

// unready names the nodes that clients should not be sent to, and why.
func unready(looks []cluster.Look) string {
	var all []string
	for _, l := range looks {
		if !l.Ready {
			all = append(all, l.Name+" "+l.Why)
		}
	}
	return strings.Join(all, "; ")
}

// spread puts left and right at the two ends of a line.
func spread(left, right string, width int) string {
	gap := width - utf8.RuneCountInString(left) - utf8.RuneCountInString(right)
	if gap < 2 {
		return left
	}
	return left + strings.Repeat(" ", gap) + right
}

// table is at most count brokers at as many nodes as fit.
func (s *clusterScreen) table(rows []cluster.Row, count, width int) []string {
	looks := s.watch.Looks()
	cell := fullCell
	if nameCell+len(looks)*cell > width {
		cell = shortCell
	}
	shown := max(1, min(len(looks), (width-nameCell)/cell))
	name := max(nameCell, min(width-shown*cell, 24))
	top, head := pad("", name), pad("BROKER", name)
	for _, l := range looks[:shown] {
		port := l.Addr[strings.LastIndexByte(l.Addr, ':'):]
		if cell == fullCell {
			top += pad(" "+l.Name+" "+port+" "+strings.Repeat("─", max(0, cell-4-len(l.Name)-len(port))), cell)
			head += fmt.Sprintf(fullForm, "SINCE", "BEAT", "CONN")
		} else {
			top += pad(" "+l.Name, cell)
			head += pad(" BEAT", cell)
		}
	}
	lines := []string{top, dim + head + plainText}
	more := 0
	if len(rows) > count {
		more = len(rows) - count + 1 // the line that says so takes the place of one
	}
	for _, r := range rows[:len(rows)-more] {
		line := pad(rowName(r.Key, name-1), name)
		for _, c := range r.Cells[:shown] {
			line += s.cell(&c, cell)
		}
		lines = append(lines, line)
	}
	if len(rows) == 0 {
		lines = append(lines, "no broker has registered yet")
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	if more := len(looks) - shown; more > 0 {
		lines[0] += fmt.Sprintf(" +%d", more)
	}
	return lines
}

func rowName(k cluster.Key, width int) string {
	name := printable(k.Broker)
	if k.ID != 0 {
		name += fmt.Sprintf(" (%d)", k.ID)
	}
	return shorten(name, width)
}

// cell is one broker at one node in so many columns.
func (s *clusterScreen) cell(c *cluster.Cell, width int) string {
	now := s.watch.Now()
	gone := whole(now.Sub(c.At))
	text, mark := "", ""
	switch c.State {
	case cluster.Never:
		text = " -"
	case cluster.Here:
		text = fmt.Sprintf(fullForm, whole(now.Sub(c.Since)), tenths(now.Sub(c.Seen)), fmt.Sprintf("#%d", c.Conn))
		if width < fullCell {
			text = " " + tenths(now.Sub(c.Seen))
		}
	case cluster.Evicted:
		text, mark = " EVICTED in "+span(c.After), bold
		if width < fullCell {
			text = "EVICTED" // a column to the left of the others: it is seen
		} else if now.Sub(c.At) > freshFor {
			text = " evicted " + gone + " ago"
		}
	case cluster.Vanished:
		text, mark = " VANISHED "+gone+" ago", bold
		if width < fullCell {
			text = "VANISHED"
		}
	case cluster.Left:
		text, mark = " left "+gone+" ago", dim
	case cluster.Lost:
		text, mark = " conn. closed "+gone, dim
	case cluster.Expired:
		text, mark = " expired "+gone+" ago", dim
	}
	if width < fullCell && c.State != cluster.Here && c.State != cluster.Never && c.State != cluster.Evicted && c.State != cluster.Vanished {
		text = " gone"
	}
	if mark == bold && now.Sub(c.At) > freshFor {
		mark = dim
	}
	text = pad(shorten(text, width), width)
	if mark == "" {
		return text
	}
	return mark + text + plainText
}

// whole is a span in whole seconds at least: what is redrawn should not flicker.
func whole(d time.Duration) string {
	if d = max(d, 0).Truncate(time.Second); d < 10*time.Second {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return span(d)
}

// tenths is a span in tenths of a second while it is short.
func tenths(d time.Duration) string {
	if d = max(d, 0); d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return span(d)
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// stream is at most count departures.
func (s *clusterScreen) stream(count int, now time.Time) []string {
	all := s.watch.Departures()
	if len(all) == 0 {
		return []string{"nobody yet"}
	}
	var lines []string
	for i := range all[:min(count, len(all))] {
		line := departureLine(&all[i])
		if now.Sub(all[i].At) < freshFor && (all[i].How == cluster.Vanished || hasEviction(&all[i])) {
			line = bold + line + plainText
		}
		lines = append(lines, line)
	}
	return lines
}

func hasEviction(d *cluster.Departure) bool {
	for _, v := range d.Others {
		if v.Evicted {
			return true
		}
	}
	return false
}

// departureLine is one departure in one line of text.
func departureLine(d *cluster.Departure) string {
	line := d.At.Local().Format("15:04:05.000") + " " + rowName(d.Key, 24) + " "
	where := strings.Join(d.Nodes, ", ")
	switch d.How {
	case cluster.Lost:
		return line + "lost at " + where + ": its connection closed"
	case cluster.Expired:
		return line + "expired at " + where + ": silent for too long"
	case cluster.Vanished:
		return line + "VANISHED: " + where + " heard nothing of its host for " + span(d.Silence) + " and agreed"
	case cluster.Unheard:
		line += "kept at " + where + ", where its host was silent for " + span(d.Silence) + ": "
		if d.By != "" {
			return line + d.By + " hears it"
		}
		return line + d.Why
	}
	line += "unregistered at " + where
	for _, v := range d.Others {
		if v.Evicted {
			line += fmt.Sprintf("; %s EVICTED it %s later", v.Node, span(v.After))
		} else {
			line += fmt.Sprintf("; %s %s", v.Node, v.Why)
		}
	}
	return line
}
