package bench

import (
	"fmt"
	"io"
	"strings"

	"github.com/epitaph-mq/epitaph/cli/screen"
)

// whereHindered says where loss and delay are put in.
const whereHindered = "Loss, delay and partitions are put in inside this process, around memberlist's sockets (UDP when a node sends; TCP by a relay " +
	"at the dialling node: a lost segment costs 200 ms, a lost SYN 1 s, doubling), and only between nodes: brokers and clients use plain loopback."

// WriteText writes the report for people, within 80 columns.
func (r *ConvergeReport) WriteText(w io.Writer) error {
	fmt.Fprintln(w, r.title())
	fmt.Fprint(w, "\nFrom the answer to the UNREGISTER at the first node until a route query at every\n"+
		"other node no longer named the broker, in ms:\n\n")
	if err := r.table(true).WriteText(w); err != nil {
		return err
	}
	for _, s := range r.Settings {
		if s.Converged > 0 && len(s.Decided.All) > 0 && s.Gossip {
			fmt.Fprint(w, "\n"+wrapped("node: p99 of when the last node evicted, by its own clock; the difference to p99 is the asking and the "+
				"scheduling. bytes: sent for each tombstone and member."))
			fmt.Fprint(w, wrapped(whereHindered))
			break
		}
	}
	r.writeWithout(w)
	r.writeFurther(w)
	if r.Vanish != nil && len(r.Vanish.Settings) > 0 {
		if err := r.Vanish.writeText(w); err != nil {
			return err
		}
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "\nFAILED: %s\n", f)
	}
	if r.Interrupted {
		fmt.Fprintln(w, "\nInterrupted: these are the figures up to then.")
	}
	return nil
}

// table has one line for each setting. Narrow tables are for terminals.
func (r *ConvergeReport) table(narrow bool) *Table {
	t := &Table{Header: []string{"nodes", "gone", "p50", "p90", "p99", "max", "node", "bytes"}}
	if !narrow {
		t.Header = []string{"setting", "gone everywhere", "p50 ms", "p90 ms", "p99 ms", "max ms", "p50 by the node", "p99 by the node",
			"messages", "bytes"}
	}
	for _, s := range r.Settings {
		name := s.Name()
		if narrow {
			name = strings.Replace(name, " nodes,", ",", 1)
		}
		cells := append([]string{name, fmt.Sprintf("%d/%d", s.Converged, s.Trials)}, s.Wire.columns()...)
		node50, node99, bytes, messages := "-", "-", "-", "-"
		if len(s.Decided.All) > 0 {
			node50, node99 = short(s.Decided.P50), short(s.Decided.P99)
		}
		if s.Gossip {
			bytes, messages = fmt.Sprintf("%.0f", s.BytesEach), fmt.Sprintf("%.1f", s.MessagesEach)
		}
		if narrow {
			t.Add(append(cells, node99, bytes)...)
		} else {
			t.Add(append(cells, node50, node99, messages, bytes)...)
		}
	}
	return t
}

func (r *ConvergeReport) writeWithout(w io.Writer) {
	if len(r.Without) == 0 {
		return
	}
	fmt.Fprint(w, "\nThe same without gossip (must not converge before the original's 120 s):\n")
	for _, s := range r.Without {
		fmt.Fprintf(w, "  %d nodes: %d of %d departures gone everywhere; watched for %g s, not for 120\n",
			s.Nodes, s.Converged, s.Trials, s.LimitS)
	}
}

// writeFurther writes what was measured beside departures.
func (r *ConvergeReport) writeFurther(w io.Writer) {
	for _, i := range r.Idle {
		fmt.Fprintf(w, "\nIdle, %d nodes, %.0f s: %.0f bytes and %.1f packets a second sent by each node\n", i.Nodes, i.Seconds, i.BytesEach, i.PacketsEach)
	}
	for _, s := range r.Storms {
		fmt.Fprintf(w, "\nStorm at one of %d nodes, %.0f s, from %d source address(es):\n", s.Nodes, s.Seconds, s.Sources)
		for _, line := range s.lines() {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
	for _, s := range r.Settings {
		if s.MembersGone+s.Refuted > 0 {
			fmt.Fprintf(w, "\n%s: members taken for dead: %d (seen from each node), refuted evictions: %d\n", s.Name(), s.MembersGone, s.Refuted)
		}
	}
}

// lines are the figures of a storm in words.
func (s *StormResult) lines() []string {
	all := []string{
		fmt.Sprintf("%.0f UNREGISTERs a second handled (asked for: %d), %d in all", s.PerSecond, s.Wanted, s.Handled),
		fmt.Sprintf("%d tombstones made; not made: %d by the source's limit, %d by the node's", s.Made, s.SourceLimit, s.NodeLimit),
		fmt.Sprintf("at most %d tombstones alive, %d hints and %d questions waiting", s.LiveMax, s.HintsMax, s.PullsMax),
		fmt.Sprintf("%.0f bytes for each tombstone and member; %d messages dropped", s.BytesEach, s.InboxFull),
		fmt.Sprintf("memory of the whole process: %.0f MB before, %.0f at most, %.0f after", s.RSSBefore, s.RSSMax, s.RSSAfter),
		fmt.Sprintf("members taken for dead: %d", s.MembersGone),
	}
	if b := s.Beside; b != nil {
		all = append(all, fmt.Sprintf("other brokers that left meanwhile: %d of %d gone everywhere, p50 %s, p99 %s",
			b.Converged, b.Trials, milliseconds(b.Wire.P50), milliseconds(b.Wire.P99)))
	}
	return all
}

// wrapped breaks a text into lines that fit the screen.
func wrapped(text string) string {
	var b strings.Builder
	screen.Fill(&b, "", 0, 0, strings.Fields(text))
	return b.String()
}
