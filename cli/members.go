package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func (p *program) membersCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:      "members",
		Usage:     "show with whom a node gossips",
		UsageText: "epitaph members [--socket PATH | -a HOST:PORT] [--json]",
		Description: `Lists the members as the node sees them: those that live, those that failed without a word (epitaph force-leave takes
them off when they will not come back), and those that left of late.
    READY     whether clients should be sent there, else what it is doing
    BY        "tcp" when its last answer came only after a try by TCP: UDP may be blocked on the way
    RTT       of the newest probe
Above stand the fingerprints of this node's gossip keys: the first is used for sending, all for receiving. The same key has
the same fingerprint at every node; a member that has other ones, as while keys are changed, is told below. Of members that share one name each has the beginning of its start number behind it, which is new each time: n1~01234567.`,
	}, &v, func(ctx context.Context, _ []string) error { return v.showMembers(ctx) })
}

func (v *view) showMembers(ctx context.Context) error {
	var m api.Members
	if done, err := v.askJSON(ctx, "/v1/members", &m); done || err != nil {
		return err
	}
	return v.members(&m)
}

func (v *view) members(m *api.Members) error {
	if !m.Gossip {
		_, err := fmt.Fprintln(v.out, gossipOff)
		if m.KV != "" {
			v.lines(0, "This node serves routes alone", "kv: "+m.KV, "its log says what to do")
		}
		return err
	}
	now := v.when(m.Asked)
	t := newTable("MEMBER", "STATE", "FOR", "READY", "VERSION", "BY", "RTT", "ADDRESS")
	t.keep = 7
	named := names{}
	var own []string // as this node tells the others
	for _, one := range m.Members {
		named[one.Name]++
		if one.Self {
			own = one.Keys
		}
	}
	for _, one := range m.Members {
		row := []string{named.of(one.Name, one.Boot), one.State, span(max(now.Sub(one.Since), 0)), one.Phase, one.Release, "udp", "-", one.Addr}
		if one.Ready {
			row[3] = "yes"
		}
		if row[4] == "" {
			row[4] = "?"
		}
		if one.RTT > 0 {
			row[6] = span(milliseconds(one.RTT))
		}
		switch {
		case one.Self:
			row[5], row[6] = "self", ""
		case one.State != "alive":
			row[2], row[3], row[5], row[6] = span(milliseconds(one.GoneMS)), "no", "-", "-"
		case one.OnlyTCP:
			row[5] = "tcp"
		}
		t.add(row...)
	}
	keys := "gossip is NOT encrypted"
	if len(m.Keys) > 0 {
		keys = "gossip key " + strings.Join(m.Keys, ", then ")
	}
	v.lines(0, fmt.Sprintf("Node %s of cluster %s", m.Node, m.Cluster), plural(len(m.Members), "member", "members"), keys)
	if err := v.table(t); err != nil {
		return err
	}
	for _, one := range m.Members {
		if one.HintsWaiting+one.PullsWaiting > 0 {
			v.lines(0, fmt.Sprintf("%s has not answered for %s", one.Name, plural(one.HintsWaiting, "departure", "departures")),
				fmt.Sprintf("and is being asked about %d", one.PullsWaiting))
		}
		if one.KV != "" {
			v.lines(0, one.Name+" serves routes alone", "kv: "+one.KV, "its log says what to do")
		}
		if len(one.Keys) > 0 && !slices.Equal(one.Keys, own) {
			v.lines(0, named.of(one.Name, one.Boot)+" has other gossip keys", strings.Join(one.Keys, ", then "))
		}
		if one.State == "failed" {
			v.lines(0, fmt.Sprintf("%s failed %s ago without a word", one.Name, span(milliseconds(one.GoneMS))),
				"start it again, or take it off: epitaph force-leave "+one.Name)
		}
	}
	return nil
}

// names counts members by name: two lives of one node, or two nodes that share a name by mistake.
type names map[string]int

// of is the name of a member, with the beginning of its boot number where another one has it, too.
func (n names) of(name, boot string) string {
	if n[name] > 1 && len(boot) >= 8 {
		return name + "~" + boot[:8]
	}
	return name
}
