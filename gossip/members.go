package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/clock"
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
	conf.Transport = g.cfg.Transport
	conf.LogOutput = nil
	conf.Logger = log.New(newLogWriter(g.cfg.Logger, &g.counts), "", 0)
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
			return nil, fmt.Errorf("--advertise=%s: %w", g.cfg.Advertise, err)
		}
		conf.AdvertisePort = port
	}
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
		for _, seed := range g.strangers(ctx) {
			g.counts.rejoins.Add(1)
			if _, err := g.list.Join([]string{seed}); err != nil && ctx.Err() == nil {
				g.counts.rejoinsFailed.Add(1)
				if first {
					g.cfg.Logger.Warn("seed does not answer, going on without it and trying again", "seed", seed, "err", err)
				}
			}
		}
		g.joined.Store(true)
		// Up to a fifth more or less, so that a fleet that was restarted at once does not join at once for ever.
		wait := time.Duration(float64(g.cfg.RejoinEvery) * (0.8 + 0.4*rand.Float64()))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
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
		host, port, err := splitHostPort(seed)
		if err != nil {
			continue // Validate has refused it
		}
		lookup, cancel := context.WithTimeout(ctx, 5*time.Second)
		addrs, err := net.DefaultResolver.LookupHost(lookup, host)
		cancel()
		if err != nil {
			g.counts.rejoinsFailed.Add(1)
			continue
		}
		for _, a := range addrs {
			if full := net.JoinHostPort(a, strconv.Itoa(port)); !known[full] {
				known[full] = true
				strange = append(strange, full)
			}
		}
	}
	return strange
}

// namesakeAfter is how long two living members may have one name: a restart looks like that until the old life is
// taken for dead.
const (
	namesakeAfter      = 15 * time.Second
	namesakeCheckEvery = time.Second
)

// namesakes watches for another living member of this node's name.
type namesakes struct {
	since   clock.Stamp // zero: there is none
	told    bool
	checked clock.Stamp
}

// checkNames looks at all members, so it does not look at every turn of the loop.
func (g *Gossip) checkNames() {
	s, now := &g.namesakes, g.cfg.Clock()
	if !s.checked.IsZero() && now.Sub(s.checked) < namesakeCheckEvery {
		return
	}
	s.checked = now
	var other string
	for _, m := range g.Members() {
		if m.Name == g.self.Name && !m.Self {
			other = m.Addr
		}
	}
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
	case errors.Is(err, errType):
		g.counts.refusedType.Add(1)
	default:
		g.counts.refusedFormat.Add(1)
	}
}
