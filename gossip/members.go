package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/gossip/sockets"
)

// pushPullEvery is shorter than memberlist's default: it is the safety net behind direct hints.
const pushPullEvery = 10 * time.Second

// memberlistConfig is the LAN profile: detection of dead members changes no route, so there is no reason for haste.
func (g *Gossip) memberlistConfig(ctx context.Context) (*memberlist.Config, error) {
	conf := memberlist.DefaultLANConfig()
	conf.Name = memberName(g.self)
	conf.Label = g.cfg.Cluster
	conf.MetricLabels = []metrics.Label{{Name: MetricLabel, Value: conf.Name}}
	conf.Keyring = g.keys
	d := delegate{g}
	conf.Delegate, conf.Events, conf.Ping, conf.Alive = d, d, d, d
	conf.PushPullInterval = pushPullEvery
	// Messages are a few hundred bytes: compressing one costs a table of 64 KiB each time and saves next to nothing.
	conf.EnableCompression = false
	conf.HandoffQueueDepth = 8192
	conf.LogOutput = nil
	var around *guard
	unread := func(from string) { around.Refuse(from) }
	conf.Logger = log.New(newLogWriter(g.cfg.Logger, &g.counts, heard{g.refuting, unread, g.answeredByTCP}), "", 0)
	g.inbox.self = g.self

	host, port, err := splitHostPort(g.cfg.Bind)
	if err != nil {
		return nil, err
	}
	if conf.BindAddr, err = g.resolveBind(ctx, host); err != nil {
		return nil, fmt.Errorf("--gossip=%s: %w", g.cfg.Bind, err)
	}
	g.bound = conf.BindAddr
	conf.BindPort, conf.AdvertisePort = port, port
	if g.cfg.Advertise != "" {
		host, port, err := splitHostPort(g.cfg.Advertise)
		if err != nil {
			return nil, err
		}
		if conf.AdvertiseAddr, err = g.resolveBind(ctx, host); err != nil {
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
	if t, ok := transport.(interface{ KeepRoom(sockets.Room) }); ok {
		closed := [...]*atomic.Uint64{
			sockets.Silent: &g.counts.closedSilent, sockets.NoRoom: &g.counts.closedNoRoom, sockets.TooMuch: &g.counts.closedTooMuch,
		}
		t.KeepRoom(sockets.Room{Familiar: g.familiar, Closed: func(why sockets.Reason) { closed[why].Add(1) }})
	}
	around = newGuard(transport, conf.Label, g.keys, g.isMember, g.refused)
	conf.Transport = around
	return conf, nil
}

// isMember says that a member is reached there.
func (g *Gossip) isMember(at netip.AddrPort) bool {
	return g.inbox.anyAt(func(a netip.AddrPort) bool { return a.Addr() == at.Addr().Unmap() && a.Port() == at.Port() })
}

// familiar says that a member or a node of --join has that address.
func (g *Gossip) familiar(addr netip.Addr) bool {
	return g.seeds.at(addr) || g.inbox.anyAt(func(a netip.AddrPort) bool { return a.Addr() == addr })
}

// resolveBind makes an address of a host name: memberlist takes addresses only. DNS that does not answer is asked again, for
// a while; a name that it does not know is a mistake.
func (g *Gossip) resolveBind(ctx context.Context, host string) (string, error) {
	if host == "" {
		return "0.0.0.0", nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, nil
	}
	all, cancel := context.WithTimeout(ctx, lookUpWait)
	defer cancel()
	for {
		one, done := context.WithTimeout(all, lookUpFirst)
		ips, err := g.resolve(one, "ip", host)
		done()
		if err == nil {
			return ips[0].Unmap().String(), nil
		}
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			return "", err
		}
		timer := time.NewTimer(retryFirst)
		select {
		case <-all.Done():
			timer.Stop()
			return "", err
		case <-timer.C:
		}
	}
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
	for _, n := range g.inbox.giveUpMissing(now) {
		g.tellLost(&n)
	}
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

// watchKeys reads the file whole each time: a new key may come with the size and the time of the old one.
func (g *Gossip) watchKeys(ctx context.Context) {
	told := "" // the fault that was logged last
	ticker := time.NewTicker(keyCheckEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			err := g.useKeyFile()
			if err == nil {
				told = ""
			} else if err.Error() != told {
				told = err.Error()
				g.keysFailed(err)
			}
		}
	}
}

// ReloadKeys reads the key file again. A file that cannot be used leaves the keys as they are.
func (g *Gossip) ReloadKeys() error {
	if g.cfg.KeyFile == "" {
		return nil
	}
	err := g.useKeyFile()
	if err != nil {
		g.keysFailed(err)
	}
	return err
}

// Keys are the fingerprints of the gossip keys in use; the first is that used for sending. None: nothing is encrypted.
func (g *Gossip) Keys() []string {
	if g.keys == nil {
		return nil
	}
	return fingerprints(g.keys.GetKeys())
}

func (g *Gossip) useKeyFile() error {
	g.reading.Lock()
	defer g.reading.Unlock()
	keys, err := LoadKeys(g.cfg.KeyFile)
	if err != nil {
		return err
	}
	now := fingerprints(keys)
	before := g.Keys()
	if now[0] == before[0] && len(now) == len(before) && !slices.ContainsFunc(now, func(k string) bool { return !slices.Contains(before, k) }) {
		return nil // the order of those that only receive means nothing
	}
	if err := useKeys(g.keys, keys); err != nil {
		return err
	}
	g.cfg.Logger.Info("gossip keys changed", "keys", strings.Join(now, ","), "before", strings.Join(before, ","))
	g.warnOfOpenKeys()
	g.describe()
	return nil
}

// warnOfOpenKeys refuses nothing: Kubernetes mounts secrets so that everybody in the container may read them.
func (g *Gossip) warnOfOpenKeys() {
	if g.cfg.KeyFile != "" && openToOthers(g.cfg.KeyFile) {
		g.cfg.Logger.Warn("every user of this machine can read the gossip keys: chmod 600, or the mode of the mounted secret", "file", g.cfg.KeyFile)
	}
}

func (g *Gossip) keysFailed(err error) {
	g.counts.keysRefused.Add(1)
	g.cfg.Logger.Error("gossip keys not reloaded, the old ones stay in use", "err", err)
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
