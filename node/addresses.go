package node

import (
	"context"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/addresses"
	"github.com/epitaph-mq/epitaph/node/addrserver"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// addressFile is where the address lists are kept, in the data directory.
const addressFile = "addresses.json"

// newAddressServer makes the address server that the configuration asks for; nil: none.
func (n *Node) newAddressServer(cfg *config.Config) *addrserver.Server {
	a := &cfg.Addresses
	if a.Server == "" {
		return nil
	}
	log := n.log.With("component", "addresses")
	client := rpc.DefaultClientConfig()
	useClientTLS(&client, &cfg.TLS, log)
	return addrserver.New(addrserver.Config{
		Listen: a.Server, Clients: a.Clients, Brokers: a.Brokers, Static: a.Static, Keep: a.Keep,
		File: filepath.Join(filepath.Dir(cfg.Options.KVConfigPath), addressFile), Holder: n.holder,
		Members: n.addressees, Client: client, Resolve: n.resolve,
		Clock: cfg.Clock, Logger: log,
	})
}

// startAddressServer binds its port; the lists are kept right until the node stops.
func (n *Node) startAddressServer(ctx context.Context) error {
	if n.addrs == nil {
		return nil
	}
	if err := n.addrs.Start(ctx); err != nil {
		return err
	}
	n.onStop("address server", n.addrs.Stop)
	return nil
}

// addressees are all members, as address lists are made of them.
func (n *Node) addressees() (in addresses.Input) {
	own := n.meta()
	if n.depart == nil {
		return addresses.Input{Members: []gossip.Member{{Peer: tombstone.Peer{Name: "this node"}, Self: true, Meta: own}}, Met: true}
	}
	g := n.Gossip()
	in.Members, in.Unheard, in.Met = g.AllMembers(), g.Unheard(), g.Joined() && g.Reached()
	for i := range in.Members {
		if m := &in.Members[i]; m.Self { // what it says now, whether gossip has taken it up yet or not
			m.Phase, m.Serve, m.Witnessed = own.Phase, own.Serve, own.Witnessed
		}
	}
	return in
}

// serveAddr is the address under which others may list this node; invalid: there is none.
func (n *Node) serveAddr() netip.AddrPort {
	a := n.Addr()
	switch {
	case n.advertise != "":
		a = netip.AddrPort{}
		if found := n.advertised.Load(); found != nil {
			a = *found
		}
	case !a.IsValid():
		return a // in memory
	case a.Addr().IsUnspecified():
		host := ""
		if n.depart != nil {
			host = n.Gossip().HostFor("")
		}
		ip, _ := netip.ParseAddr(host)
		a = netip.AddrPortFrom(ip.Unmap(), a.Port())
	}
	if !a.Addr().IsValid() || a.Addr().Is6() && !n.ipv6 {
		return netip.AddrPort{}
	}
	return a
}

// How often the name of --advertise-serve is looked up, how often while it is not known, and for how long a start waits for it.
const (
	advertiseEvery = 30 * time.Second
	advertiseSoon  = 2 * time.Second
	advertiseFirst = time.Second
)

// lookUpAdvertised looks the name up once, and says whether that changed anything.
func (n *Node) lookUpAdvertised(ctx context.Context) (changed bool, err error) {
	found, err := addrserver.Resolve(ctx, n.resolve, n.advertise)
	if err != nil {
		return false, err
	}
	old := n.advertised.Swap(&found[0])
	if changed = old == nil || *old != found[0]; changed {
		n.log.Info("brokers and clients are told this address of the node (--advertise-serve)", "addr", found[0], "name", n.advertise)
	}
	return changed, nil
}

// firstAdvertised looks the name up before anybody is told of this node: the first word is then the right one, and one that starts
// again does not leave the lists for a moment. Whatever keeps DNS from answering is told later.
func (n *Node) firstAdvertised(ctx context.Context) error {
	if n.advertise != "" {
		ctx, cancel := context.WithTimeout(ctx, advertiseFirst)
		defer cancel()
		_, _ = n.lookUpAdvertised(ctx)
	}
	return nil
}

// watchAdvertised looks the name up, again and again, and tells the others where it leads.
func (n *Node) watchAdvertised(ctx context.Context) {
	trouble := ""
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		changed, err := n.lookUpAdvertised(ctx)
		next := advertiseEvery
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			trouble = ""
			if changed {
				n.announce()
			}
		default:
			if text := err.Error(); text != trouble {
				trouble = text
				n.log.Warn("the name of --advertise-serve cannot be looked up: what it was before stays", "name", n.advertise, "err", err)
			}
			if n.advertised.Load() == nil {
				next = advertiseSoon
			}
		}
		timer.Reset(next)
	}
}

// Addresses is what the address server serves; false: there is none.
func (v view) Addresses() (addresses.Status, bool) {
	if v.n.addrs == nil {
		return addresses.Status{}, false
	}
	return v.n.addrs.Status(), true
}
