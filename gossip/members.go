package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/gossip/sockets"
)

// pushPullEvery is shorter than memberlist's default: it is the safety net behind direct hints.
const pushPullEvery = 10 * time.Second

// memberlistConfig is the LAN profile: detection of dead members changes no route, so there is no reason for haste.
func (g *Gossip) memberlistConfig() (*memberlist.Config, error) {
	conf := memberlist.DefaultLANConfig()
	conf.Name = memberName(g.self)
	conf.Label = g.cfg.Cluster
	conf.MetricLabels = []metrics.Label{{Name: MetricLabel, Value: conf.Name}}
	conf.Keyring = g.keys
	d := delegate{g}
	conf.Delegate, conf.Events, conf.Ping = d, d, d
	conf.PushPullInterval = pushPullEvery
	// Messages are a few hundred bytes: compressing one costs a table of 64 KiB each time and saves next to nothing.
	conf.EnableCompression = false
	conf.HandoffQueueDepth = 8192
	conf.LogOutput = nil
	unread := func(from string) {
		if t, ok := conf.Transport.(interface{ Refuse(from string) }); ok {
			t.Refuse(from)
		}
	}
	conf.Logger = log.New(newLogWriter(g.cfg.Logger, &g.counts, heard{g.refuting, unread, g.answeredByTCP}), "", 0)
	g.inbox.self = g.self

	host, port, err := splitHostPort(g.cfg.Bind)
	if err != nil {
		return nil, err
	}
	if conf.BindAddr, err = resolveBind(host); err != nil {
		return nil, fmt.Errorf("--gossip=%s: %w", g.cfg.Bind, err)
	}
	conf.BindPort, conf.AdvertisePort = port, port
	if g.cfg.Advertise != "" {
		host, port, err := splitHostPort(g.cfg.Advertise)
		if err != nil {
			return nil, err
		}
		if conf.AdvertiseAddr, err = resolveBind(host); err != nil {
			return nil, fmt.Errorf("--advertise=%s: %w; give an address, or a name that this machine can look up", g.cfg.Advertise, err)
		}
		conf.AdvertisePort = port
	}
	transport := g.cfg.Transport
	if transport == nil {
		bound, err := netip.ParseAddr(conf.BindAddr)
		if err != nil {
			return nil, fmt.Errorf("--gossip=%s: %w", g.cfg.Bind, err)
		}
		t, err := sockets.Listen(bound, port, conf.MetricLabels, g.cfg.Logger)
		if err != nil {
			return nil, fmt.Errorf("--gossip=%s: %w", g.cfg.Bind, explainCreate(err))
		}
		transport, conf.BindPort = t, t.Port()
		if g.cfg.Advertise == "" {
			conf.AdvertisePort = t.Port()
		}
	}
	if g.keys != nil {
		transport = newGuard(transport, conf.Label)
	}
	conf.Transport = transport
	return conf, nil
}

// resolveBind makes an address of a host name: memberlist takes addresses only.
func resolveBind(host string) (string, error) {
	if host == "" {
		return "0.0.0.0", nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", host)
	if err != nil {
		return "", err
	}
	return ips[0].Unmap().String(), nil
}

// explainCreate adds the remedy to what memberlist says.
func explainCreate(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "address already in use"):
		return fmt.Errorf("%w: another program has this port; choose another one with --gossip", err)
	case strings.Contains(text, "advertise address"), strings.Contains(text, "private IP"):
		return fmt.Errorf("%w: say with --advertise HOST:PORT how the other nodes reach this one", err)
	}
	return err
}

// rejoin tries seeds that are no living member, now and then for ever: memberlist does not heal a partition that is
// longer than its memory of the dead, and looks a name up only once.
func (g *Gossip) rejoin(ctx context.Context) {
	if len(g.cfg.Seeds) == 0 {
		g.joined.Store(true)
		return
	}
	for first := true; ; first = false {
		g.join(ctx, g.strangers(ctx), first)
		g.joined.Store(true)
		if first && g.joinsOnlyItself(ctx) {
			g.cfg.Logger.Warn("--join names only this node itself: give the address of another node; until one joins, " +
				"this node gossips with nobody")
		}
		// Up to a fifth more or less, so that a fleet that was restarted at once does not join at once for ever.
		wait := time.Duration(float64(g.cfg.RejoinEvery) * (0.8 + 0.4*rand.Float64()))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

const (
	joinsAtOnce = 16
	// joinWait is how long, once a seed has answered, others are waited for before this node counts as joined: the one that
	// answered has told of all members, and a dead host takes ten seconds.
	joinWait = time.Second
)

// join tries seeds, all at once: one that does not answer holds up no other.
func (g *Gossip) join(ctx context.Context, seeds []string, first bool) {
	var group sync.WaitGroup
	slots := make(chan struct{}, joinsAtOnce)
	for _, seed := range seeds {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() == nil {
				g.joinOne(ctx, seed, first)
			}
		})
	}
	group.Wait()
}

func (g *Gossip) joinOne(ctx context.Context, seed string, first bool) {
	g.counts.rejoins.Add(1)
	_, err := g.list.Join([]string{seed})
	if err == nil {
		time.AfterFunc(joinWait, func() { g.joined.Store(true) })
		return
	}
	if ctx.Err() != nil {
		return
	}
	g.counts.rejoinsFailed.Add(1)
	if first {
		g.cfg.Logger.Warn("seed does not answer, going on without it and trying again", "seed", seed, "err", err)
	}
}

// strangers are the addresses behind the seeds that no living member has.
func (g *Gossip) strangers(ctx context.Context) []string {
	known := make(map[string]bool)
	for _, m := range g.Members() {
		known[m.Addr] = true
	}
	var strange []string
	for _, seed := range g.cfg.Seeds {
		addrs, err := g.lookUp(ctx, seed)
		if err != nil {
			g.counts.rejoinsFailed.Add(1)
			continue
		}
		for _, a := range addrs {
			if full := a.String(); !known[full] && !g.isItself(a) {
				known[full] = true
				strange = append(strange, full)
			}
		}
	}
	return strange
}

// lookUp finds the addresses behind HOST:PORT.
func (g *Gossip) lookUp(ctx context.Context, seed string) ([]netip.AddrPort, error) {
	host, port, err := splitHostPort(seed)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ips, err := g.resolve(ctx, "ip", host)
	var all []netip.AddrPort
	for _, ip := range ips {
		all = append(all, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return all, err
}

// joinsOnlyItself says that every seed could be looked up and is this node.
func (g *Gossip) joinsOnlyItself(ctx context.Context) bool {
	for _, seed := range g.cfg.Seeds {
		addrs, err := g.lookUp(ctx, seed)
		if err != nil || slices.ContainsFunc(addrs, func(a netip.AddrPort) bool { return !g.isItself(a) }) {
			return false
		}
	}
	return true
}

// isItself says that a is an address of this node: what it advertises, what it is bound to, or, when it is bound to every
// address, any of this machine with its port.
func (g *Gossip) isItself(a netip.AddrPort) bool {
	if a.String() == g.Addr() {
		return true
	}
	host, port, err := splitHostPort(g.cfg.Bind)
	if err != nil || port == 0 || int(a.Port()) != port {
		return false
	}
	bound, err := resolveBind(host)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(bound)
	if err != nil || !ip.IsUnspecified() {
		return err == nil && ip == a.Addr()
	}
	local, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(local, func(l net.Addr) bool {
		prefix, err := netip.ParsePrefix(l.String())
		return err == nil && prefix.Addr().Unmap() == a.Addr()
	})
}

// A member that refutes its own death so often within refuteWindow is not reached by the others, or starved.
const (
	maxRefutes   = 3
	refuteWindow = time.Minute
	refuteQuiet  = 10 * time.Minute // between two lines about it
)

// refutes remembers when this member last had to say that it lives.
type refutes struct {
	mu    sync.Mutex // guards the following fields
	times []time.Time
	told  time.Time
}

// refuting is told that other members took this one for dead and that it has contradicted them.
func (g *Gossip) refuting() {
	r, now := &g.refutes, time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times = append(r.times[max(0, len(r.times)-maxRefutes+1):], now)
	if len(r.times) < maxRefutes || now.Sub(r.times[0]) > refuteWindow || !r.told.IsZero() && now.Sub(r.told) < refuteQuiet {
		return
	}
	r.told = now
	g.cfg.Logger.Warn("other members go on taking this node for dead: they do not reach it at its gossip address; check that "+
		"--advertise (or --gossip) is the address that they see, and that UDP and TCP of its port are open", "addr", g.advertised())
}

// answeredByTCP is told of a member that memberlist reaches by TCP and not by UDP, at every probe.
func (g *Gossip) answeredByTCP(member string) {
	p, ok := peerOf(member)
	if !ok {
		return
	}
	g.inbox.answeredByTCP(p)
	g.noUDP.Do(func() {
		g.cfg.Logger.Warn("a member answers by TCP but not by UDP: open UDP of the gossip port in both directions; departures "+
			"travel more slowly until then", "member", p.Name)
	})
}

// advertised is what others were told, also before Start has returned.
func (g *Gossip) advertised() string {
	return cmp.Or(g.cfg.Advertise, g.cfg.Bind)
}

// namesakeAfter is how long two living members may have one name: a restart looks like that until the old life is
// taken for dead.
const (
	namesakeAfter    = 15 * time.Second
	memberCheckEvery = time.Second
)

// namesakes watches for another living member of this node's name.
type namesakes struct {
	since   clock.Stamp // zero: there is none
	told    bool
	checked clock.Stamp
}

// checkMembers looks at all members, so it does not look at every turn of the loop.
func (g *Gossip) checkMembers(now clock.Stamp) {
	s := &g.namesakes
	if !s.checked.IsZero() && now.Sub(s.checked) < memberCheckEvery {
		return
	}
	s.checked = now
	g.inbox.giveUpMissing(now)
	other := g.inbox.namesake()
	switch {
	case other == "":
		s.since, s.told = clock.Stamp{}, false
		g.counts.namesake.Store(false)
	case s.since.IsZero():
		s.since = now
	case !s.told && now.Sub(s.since) > namesakeAfter:
		s.told = true
		g.counts.namesake.Store(true)
		g.cfg.Logger.Error("another living node has this node's name: give one of the two another --name",
			"name", g.self.Name, "other", other)
	}
}

// keyCheckEvery is how often the key file is looked at; Reload does it at once.
const keyCheckEvery = 2 * time.Second

func (g *Gossip) watchKeys(ctx context.Context) {
	var seen os.FileInfo
	ticker := time.NewTicker(keyCheckEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			info, err := os.Stat(g.cfg.KeyFile)
			if err != nil || seen != nil && info.ModTime().Equal(seen.ModTime()) && info.Size() == seen.Size() {
				continue
			}
			seen = info
			_ = g.ReloadKeys() // logged there
		}
	}
}

// ReloadKeys reads the key file again. A file that cannot be used leaves the keys as they are.
func (g *Gossip) ReloadKeys() error {
	if g.keys == nil {
		return nil
	}
	keys, err := LoadKeys(g.cfg.KeyFile)
	if err == nil {
		err = useKeys(g.keys, keys)
	}
	if err != nil {
		g.counts.keysRefused.Add(1)
		g.cfg.Logger.Error("gossip keys not reloaded, the old ones stay in use", "err", err)
		return err
	}
	return nil
}

// refused counts a message that is not answered, by reason.
func (g *Gossip) refused(err error) {
	switch {
	case errors.Is(err, errSize):
		g.counts.refusedSize.Add(1)
	case errors.Is(err, errVersion):
		g.counts.refusedVersion.Add(1)
		g.tellOther(err)
	case errors.Is(err, errType):
		g.counts.refusedType.Add(1)
		g.tellOther(err)
	default:
		g.counts.refusedFormat.Add(1)
	}
}

// tellOther says that somebody runs another version, now and then: memberlist does not tell who.
func (g *Gossip) tellOther(err error) {
	g.otherVersion.Do(func() {
		g.cfg.Logger.Warn("a message of another version of epitaph was passed over: until all nodes run one version, some tell each "+
			"other less; epitaph members shows the version of each", "err", err)
	})
}
