package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/node/config"
)

const categoryAddresses = "Being found (brokers and clients that ask an address server instead of being given a list):"

// addressSettings are the values of the flags about the address server.
type addressSettings struct {
	server, static, clients, brokers, advertise string
	keep                                        time.Duration
	ipv6                                        bool
}

// addressFlags say how brokers and clients come to know the nodes.
func addressFlags(s *addressSettings) []command.Flag {
	usual := config.DefaultAddresses()
	s.clients, s.brokers, s.keep = usual.Clients, usual.Brokers, usual.Keep
	flags := []command.Flag{
		{To: &s.server, Name: "address-server", Default: "off",
			Usage: "`HOST:PORT` of an address server (rocketmq.namesrv.domain): which NameServers there are, over HTTP; clients assume port 8080"},
		{To: &s.static, Name: "address-static", Default: "none",
			Usage: "`HOST:PORT,...` of NameServers that are no members, such as Java ones during a move: they are listed, too"},
		{To: &s.keep, Name: "address-keep",
			Usage: "`TIME` for which a member that is lost, and whose address does not answer, stays in the brokers' list (in the clients' it is 10s)"},
		{To: &s.clients, Name: "address-clients", Usage: "`NAME` of the clients' list: the last part of its path (rocketmq.namesrv.domain.subgroup)"},
		{To: &s.brokers, Name: "address-brokers", Usage: "`NAME` of the brokers' list: the last part of its path (rmqAddressServerSubGroup)"},
		{To: &s.advertise, Name: "advertise-serve", Default: "the --listen address, or that of gossip",
			Usage: "`HOST:PORT` under which brokers and clients reach this node, as the address servers of all nodes list it"},
		{To: &s.ipv6, Name: "advertise-ipv6", Usage: "list this node although its address is one of IPv6, which not every client takes"},
	}
	for i := range flags {
		flags[i].Category = categoryAddresses
	}
	return flags
}

// into puts the settings into a node's configuration.
func (s addressSettings) into(cfg *config.Config) {
	usual := config.DefaultAddresses()
	cfg.Addresses = config.Addresses{
		Server: s.server, Clients: cmp.Or(s.clients, usual.Clients), Brokers: cmp.Or(s.brokers, usual.Brokers),
		Static: listOf(s.static), Keep: s.keep, Advertise: s.advertise, IPv6: s.ipv6,
	}
}

// listOf takes apart what has commas in it, or semicolons, as RocketMQ has them between addresses.
func listOf(text string) (all []string) {
	for one := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' }) {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}

func (p *program) addressesCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:      "addresses",
		Usage:     "show the lists of a node's address server: which NameServers clients and brokers are told of",
		UsageText: "epitaph addresses [--socket PATH | -a HOST:PORT] [--json]",
		Description: `Below the lists stands why they stay as they are (a node that sees no majority of the members changes nothing), who is in none
of them although it lives, and who shares an address with another one. Ends with 1 when there is such a thing, when a list is empty, and
when the node has no address server (--address-server).`,
	}, &v, func(ctx context.Context, _ []string) error { return v.showAddresses(ctx) })
}

func (v *view) showAddresses(ctx context.Context) error {
	var a api.Addresses
	done, err := v.askJSON(ctx, "/v1/addresses", &a)
	if err == nil && !done {
		v.addresses(&a)
	}
	if err == nil && (!a.On || len(a.Clients) == 0 || len(a.Brokers) == 0 || a.Still != "" || len(a.LeftOut) > 0 || len(a.Conflicts) > 0) {
		return &command.Exit{Status: command.Failed} // what there is to say is on the screen
	}
	return err
}

func (v *view) addresses(a *api.Addresses) {
	if !a.On {
		fmt.Fprintln(v.out, "This node has no address server (--address-server).")
		return
	}
	for _, list := range []struct {
		name string
		all  []string
	}{{"clients", a.Clients}, {"brokers", a.Brokers}} {
		if len(list.all) == 0 {
			fmt.Fprintf(v.out, "%s  none is known yet: 503 is answered, and who runs keeps what it has\n", list.name)
		}
		for _, one := range list.all {
			fmt.Fprintf(v.out, "%s  %s\n", list.name, one)
		}
	}
	if a.Still != "" {
		v.lines(0, "the lists stay as they are", a.Still)
	}
	for _, one := range a.LeftOut {
		v.lines(0, one.Member+" is left out", one.Why)
	}
	for _, one := range a.Conflicts {
		v.lines(0, one.Addr+" is the address of "+strings.Join(one.Members, " and "), "correct --advertise-serve at all but one")
	}
}
