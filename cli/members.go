package cli

import (
	"fmt"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/node"
)

func (p *program) membersCommand() *urfave.Command {
	return p.inspectCommand(inspection{
		name:  "members",
		usage: "show with whom a node gossips",
		text:  "epitaph members [-a HOST:PORT] [--json]",
		description: `Lists the living members as the node sees them.
    REACHED BY   "tcp" when its last answer came only after a try by TCP: UDP may be blocked on the way
    WAITING      departures told that it has not answered for, and departures of its that are being asked about`,
		run: showMembers,
	})
}

func showMembers(c *urfave.Context, v *view) error {
	if err := noArguments(c); err != nil {
		return err
	}
	var m node.APIMembers
	if done, err := v.askJSON(c.Context, "/v1/members", &m); done || err != nil {
		return err
	}
	return v.members(&m)
}

func (v *view) members(m *node.APIMembers) error {
	if !m.Gossip {
		_, err := fmt.Fprintln(v.out, gossipOff)
		return err
	}
	now := v.now()
	t := newTable("MEMBER", "ADDRESS", "SEEN FOR", "ROUND TRIP", "REACHED BY", "WAITING")
	for _, one := range m.Members {
		row := []string{one.Name, one.Addr, span(max(now.Sub(one.Since), 0)), "-", "udp", "-"}
		if one.RTT > 0 {
			row[3] = span(milliseconds(one.RTT))
		}
		if one.OnlyTCP {
			row[4] = "tcp"
		}
		if one.HintsWaiting+one.PullsWaiting > 0 {
			row[5] = fmt.Sprintf("%d, %d", one.HintsWaiting, one.PullsWaiting)
		}
		if one.Self {
			row[3], row[4] = "this node", ""
		}
		t.add(row...)
	}
	t.keep = 1
	lines(v.out, 0, fmt.Sprintf("Node %s of cluster %s", m.Node, m.Cluster), plural(len(m.Members), "member", "members"))
	return t.write(v.out, v.wide)
}
