package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/cli/screen"
	"github.com/epitaph-mq/epitaph/mq"
)

func (p *program) diffCommand() *command.Command {
	var v view
	var watch time.Duration
	limit := limitFlag(&v, 100_000, "brokers; with -n, topics (200)")
	limit.Given = &v.limitGiven
	s := &surveyed{p: p, servers: &v.nameServer.addr}
	return p.inspect(command.Command{
		Name:      "diff",
		Usage:     "ask whether nodes, or any NameServers, agree",
		UsageText: "epitaph diff [--socket PATH | -a HOST:PORT] [--broker NAME] [--json]\nepitaph diff -n HOST:PORT,HOST:PORT,... [--settle TIME] [--watch TIME] [--json]",
		Description: `Says which node disagrees about which broker, since when and why, and whose KV store or configuration
is another one. Ends with 0 when all nodes were compared and agree, with 1 when they do not, when one could not be compared
(it was lost, or says nothing), when there is nobody to compare with or the node does not answer, and with 2 when it was
asked wrongly: usable in a script and as a check. Nodes tell each other hashes of what they serve, never a route. What differs
for less than a second or so is not reported: it may be on its way.

With -n any NameServers are compared from outside, the Java ones too, by RocketMQ's own protocol and without a node: which one
differs about which broker, address, topic, queue setting, permission, order configuration, KV value or option. It only reads: no
request of it changes anything. What differs is told when it was seen twice, --settle apart, with the same values. Ends with 0
when they agree, with 1 when they differ, with 2 when it was asked wrongly, and with 3 when nothing differs but not all could be asked.`,
		Flags: append([]command.Flag{
			{To: &v.broker, Name: "broker", Short: "b", Usage: "compare the topics of the broker `NAME` too, and list them"},
			limit,
			{To: &watch, Name: "watch", Default: "once", Usage: "with -n: look again every so long a `TIME`, and print a line for each change"},
		}, s.flags()...),
	}, &v, func(ctx context.Context, _ []string) error {
		if *s.servers != "" {
			if _, err := v.limitQuery(); err != nil {
				return err
			}
			return v.showDiffOfServers(ctx, s, watch)
		}
		return v.showDiff(ctx)
	})
}

// These end a command that has already said all there is to say.
var (
	errDiffer      = errors.New("the nodes differ")
	errNotCompared = errors.New("not all nodes could be compared")
)

func (v *view) showDiff(ctx context.Context) error {
	query, err := v.limitQuery()
	if err != nil {
		return err
	}
	if v.broker != "" {
		query += "&broker=" + url.QueryEscape(v.broker)
	}
	var d api.Diff
	done, err := v.askJSON(ctx, "/v1/diff"+query, &d)
	if err != nil {
		return err
	}
	if !done {
		if err := v.diff(&d); err != nil {
			return err
		}
	}
	switch {
	case !d.Agree:
		return errDiffer
	case !d.Complete:
		return errNotCompared
	}
	return nil
}

func (v *view) diff(d *api.Diff) error {
	if !d.Gossip {
		_, err := fmt.Fprintln(v.out, gossipOff)
		return err
	}
	compared := 0
	for _, n := range d.Nodes {
		if n.Compared {
			compared++
		}
	}
	agree := "they agree"
	switch {
	case !d.Agree:
		agree = "they DIFFER"
	case compared < 2 && len(d.Nodes) > 1:
		agree = "they are NOT COMPARED"
	case compared < 2:
		agree = "nobody to compare it with"
	}
	v.lines(0, fmt.Sprintf("Node %s of cluster %s", d.Node, d.Cluster), plural(compared, "node", "nodes")+" compared", agree)
	if d.Total > 0 {
		if err := v.diffBrokers(d); err != nil {
			return err
		}
	}
	for i := range d.Drifts {
		one := &d.Drifts[i]
		what := "configuration"
		if one.What == "kv" {
			what = "KV store"
		}
		fmt.Fprintln(v.out)
		v.words(0, fmt.Sprintf("%s: another %s for %s", one.Node, what, span(milliseconds(one.LastsMS))))
		v.names(d.Node, one.Node, &one.Names)
	}
	for i := range d.Topics {
		one := &d.Topics[i]
		fmt.Fprintln(v.out)
		v.words(0, fmt.Sprintf("Topics of %s: %s against %s", one.Broker, d.Node, one.Node))
		if len(one.OnlyHere)+len(one.OnlyThere)+len(one.Differ) == 0 && one.Error == "" {
			fmt.Fprintln(v.out, "  the same")
		}
		v.names(d.Node, one.Node, &one.Names)
	}
	v.notes(d)
	return nil
}

func (v *view) diffBrokers(d *api.Diff) error {
	fmt.Fprintln(v.out)
	t := newTable("BROKER", "ID", "ADDRESS", "LASTS", "AT", "NOT AT")
	t.keep = 2
	for i := range d.Brokers {
		b := &d.Brokers[i]
		var has, lacks []string
		for _, n := range b.Nodes {
			if n.Held {
				has = append(has, n.Node)
			} else {
				lacks = append(lacks, n.Node)
			}
		}
		t.add(b.Broker, fmt.Sprint(b.ID), b.Addr, span(milliseconds(b.LastsMS)), v.list(has), orDash(v.list(lacks)))
	}
	if err := v.table(t); err != nil {
		return err
	}
	for i := range d.Brokers {
		b := &d.Brokers[i]
		fmt.Fprintln(v.out)
		v.words(0, fmt.Sprintf("%s (id %d) at %s of cluster %s:", b.Broker, b.ID, b.Addr, b.Cluster))
		v.words(2, b.Why)
		if v.wide {
			for _, n := range b.Nodes {
				if n.Held {
					fmt.Fprintf(v.out, "    %s: data version %d/%d/%d, %s, %d writable, hash %s\n", cell(n.Node),
						n.DataVersion.StateVersion, n.DataVersion.Timestamp, n.DataVersion.Counter,
						plural(n.Topics, "topic", "topics"), n.Writable, n.Hash)
				}
			}
		}
	}
	if more := d.Total - len(d.Brokers); more > 0 {
		fmt.Fprintf(v.out, "and %d more (--limit)\n", more)
	}
	return nil
}

// list is names in a cell: a large cluster is told in a number.
func (v *view) list(names []string) string {
	const few = 4
	if len(names) > few && !v.wide && !v.whole {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few-1], ","), len(names)-few+1)
	}
	return strings.Join(names, ",")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// words breaks a sentence into lines of the screen.
func (v *view) words(indent int, text string) {
	words := strings.Fields(printable(text))
	for i := range words {
		words[i] = mq.Cut(words[i])
	}
	if v.wide || v.whole {
		fmt.Fprintln(v.out, strings.Repeat(" ", indent)+strings.Join(words, " "))
		return
	}
	for i := range words {
		words[i] = shorten(words[i], screenWidth-indent)
	}
	var lines strings.Builder
	screen.Fill(&lines, "", indent, 0, words)
	fmt.Fprint(v.out, lines.String())
}

func (v *view) names(here, there string, n *api.Names) {
	show := func(what string, names []string) {
		if len(names) > 0 {
			v.words(2, what+": "+strings.Join(names, ", "))
		}
	}
	show("only at "+here, n.OnlyHere)
	show("only at "+there, n.OnlyThere)
	show("differing", n.Differ)
	if n.Error != "" {
		v.words(2, "which ones is not known: "+n.Error)
	} else if n.More {
		fmt.Fprintln(v.out, "  and more")
	}
}

// notes are what stands between the answer and certainty.
func (v *view) notes(d *api.Diff) {
	first := true
	note := func(text string) {
		if first {
			fmt.Fprintln(v.out)
			first = false
		}
		v.words(0, text)
	}
	for _, n := range d.Nodes {
		switch {
		case n.Waiting:
			note(n.Name + " (re)started and waits for its brokers: what it lacks does not count yet.")
		case !n.Compared:
			note(n.Name + " is not compared: " + n.Why + ".")
		}
		if n.Skipped > 0 {
			note(fmt.Sprintf("%s: %s too many to be compared.", n.Name, plural(n.Skipped, "broker address is", "broker addresses are")))
		}
	}
	if d.Settling > 0 {
		note(plural(d.Settling, "broker differs", "brokers differ") + " just now: an update may be on its way.")
	}
}
