package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
)

func (p *program) brokersCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:      "brokers",
		Usage:     "show which brokers are registered at a node",
		UsageText: "epitaph brokers [--socket PATH | -a HOST:PORT | -n HOST:PORT] [--json]",
		Description: `    FOR       since it registered               SEEN      since the last sign of life
    EXPIRES   when none comes any more          TOPICS    of that broker name
    CONN      the connection that owns the registration; with --wide also whence it comes
Below the table stand the tombstones that did not evict a broker, and why.
With -n any NameServer is asked by RocketMQ's own protocol, the Java one too; that tells names and addresses only.`,
		Flags: append(nameServerFlags(&v.nameServer), limitFlag(&v, 100_000, "brokers")),
	}, &v, func(ctx context.Context, _ []string) error { return v.showBrokers(ctx) })
}

func (v *view) showBrokers(ctx context.Context) error {
	query, err := v.limitQuery()
	if err != nil {
		return err
	}
	if v.nameServer.addr != "" {
		return v.brokersOf(ctx, v.nameServer)
	}
	var b api.Brokers
	if done, err := v.askJSON(ctx, "/v1/brokers"+query, &b); done || err != nil {
		return err
	}
	return v.brokers(&b)
}

func (v *view) brokers(b *api.Brokers) error {
	if b.Total == 0 {
		_, err := fmt.Fprintln(v.out, "No broker is registered. One that knows this node registers within 30 seconds.")
		return err
	}
	now := v.when(b.Asked)
	for _, group := range byCluster(b.Brokers) {
		v.lines(0, "Cluster "+group[0].Cluster)
		if err := v.cluster(group, now); err != nil {
			return err
		}
	}
	if more := b.Total - len(b.Brokers); more > 0 {
		fmt.Fprintf(v.out, "and %d more (--limit)\n", more)
	}
	for i := range b.Brokers {
		if one := &b.Brokers[i]; one.Kept != nil {
			parts := []string{
				fmt.Sprintf("%s (id %d) at %s", one.Broker, one.ID, one.Addr), "a tombstone " + ago(one.Kept.At, now), one.Kept.Why,
			}
			fmt.Fprintln(v.out)
			v.lines(0, append(parts, comparisons(&one.Kept.Verdict)...)...)
		}
	}
	return nil
}

// byCluster parts what is sorted by cluster.
func byCluster(all []api.Broker) (groups [][]api.Broker) {
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Cluster == all[0].Cluster {
			n++
		}
		groups, all = append(groups, all[:n]), all[n:]
	}
	return groups
}

func (v *view) cluster(brokers []api.Broker, now time.Time) error {
	t := newTable("BROKER", "ID", "ADDRESS", "VERSION", "FOR", "SEEN", "EXPIRES", "TOPICS", "CONN")
	t.keep = 2
	if v.wide {
		t.rows[0] = append(t.rows[0], "REGISTERED", "LANGUAGE", "FROM")
	}
	for i := range brokers {
		one := &brokers[i]
		expires := "now"
		if one.Expires > 0 {
			expires = span(milliseconds(one.Expires))
		}
		row := []string{
			one.Broker, strconv.FormatInt(one.ID, 10), one.Addr, one.Version, span(max(now.Sub(one.Since), 0)),
			span(milliseconds(one.SeenAgo)), expires, strconv.Itoa(one.Topics), "-",
		}
		if one.Conn != 0 {
			row[8] = "#" + strconv.FormatUint(one.Conn, 10)
		}
		if v.wide {
			row = append(row, ago(one.Registered, now), one.Language, one.Remote)
		}
		t.add(row...)
	}
	return v.table(t)
}

// brokerAddress is what RocketMQ's protocol tells of a broker.
type brokerAddress struct {
	Cluster string `json:"cluster"`
	Broker  string `json:"broker"`
	ID      int64  `json:"id"`
	Addr    string `json:"addr"`
}

func (v *view) brokersOf(ctx context.Context, server nameServer) error {
	answer, err := server.ask(ctx, remoting.GetBrokerClusterInfo, nil)
	if err != nil {
		return err
	}
	info, err := body.DecodeClusterInfo(answer.Body)
	if err != nil {
		return fmt.Errorf("%s: decode cluster info: %w", server.addr, err)
	}
	all := []brokerAddress{}
	for _, b := range info.Brokers {
		for _, a := range b.Addrs {
			all = append(all, brokerAddress{b.Cluster, b.BrokerName, a.ID, a.Addr})
		}
	}
	order.By(all, func(a, b brokerAddress) int {
		if o := strings.Compare(a.Cluster+"\x00"+a.Broker, b.Cluster+"\x00"+b.Broker); o != 0 {
			return o
		}
		return int(a.ID - b.ID)
	})
	if v.json {
		return v.printAsJSON(map[string]any{"brokers": all})
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(v.out, "No broker is registered.")
		return err
	}
	t := newTable("CLUSTER", "BROKER", "ID", "ADDRESS")
	t.keep = 3
	for _, b := range all {
		t.add(b.Cluster, b.Broker, strconv.FormatInt(b.ID, 10), b.Addr)
	}
	return v.table(t)
}
