package cli

import (
	"context"
	"fmt"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func (p *program) conflictsCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:      "conflicts",
		Usage:     "show registrations that contradict each other",
		UsageText: "epitaph conflicts [--socket PATH | -a HOST:PORT] [--limit N] [--json]",
		Description: `One address under two broker names, one broker name in two clusters, a master whose address changed without an
UNREGISTER, a loopback address advertised from another host: most likely a broker.conf that was copied. The registrations
are served all the same, as RocketMQ does. Newest first; what comes again with every registration is listed once. Ends
with 1 when there are any, so that a script can tell.`,
		Flags: []command.Flag{limitFlag(&v, limitOfScreen, "conflicts")},
	}, &v, func(ctx context.Context, _ []string) error { return v.showConflicts(ctx) })
}

func (v *view) showConflicts(ctx context.Context) error {
	query, err := v.limitQuery()
	if err != nil {
		return err
	}
	var all api.Conflicts
	done, err := v.askJSON(ctx, "/v1/conflicts"+query, &all)
	if err == nil && !done {
		err = v.conflicts(&all)
	}
	if err == nil && all.Total > 0 {
		return &command.Exit{Status: command.Failed} // what there is to say is on the screen
	}
	return err
}

func (v *view) conflicts(all *api.Conflicts) error {
	if all.Total == 0 {
		_, err := fmt.Fprintln(v.out, "No conflicts since this node started.")
		return err
	}
	now := v.when(all.Asked)
	for i := range all.Conflicts {
		one := &all.Conflicts[i]
		parts := []string{
			fmt.Sprintf("%s  %s (id %d) at %s", ago(one.At, now), one.Broker, one.ID, one.Addr), "cluster " + one.Cluster,
		}
		if one.Remote != "" {
			parts = append(parts, "from "+one.Remote)
		}
		v.lines(0, parts...)
		what := conflictWords(one.Kind)
		if one.Old != "" {
			what += ": formerly " + one.Old
		}
		v.lines(6, what)
	}
	fmt.Fprintf(v.out, "%s since this node started\n", plural(int(all.Total), "contradiction", "contradictions"))
	return nil
}

// conflictWords says what a kind of conflict means and where to look.
func conflictWords(kind string) string {
	switch kind {
	case "one_address_two_names":
		return "this address was registered under another broker name"
	case "one_name_two_clusters":
		return "this broker name is in two clusters"
	case "master_address_changed":
		return "the master's address changed without an UNREGISTER"
	case "loopback_address":
		return "a loopback address from another host: set brokerIP1"
	}
	return kind
}
