package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/addrserver"
	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/departures"
	"github.com/epitaph-mq/epitaph/node/divergence"
	"github.com/epitaph-mq/epitaph/node/kvconfig"
	"github.com/epitaph-mq/epitaph/node/readiness"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Node is one NameServer. Make it with New, then Start, then Stop.
type Node struct {
	log      *slog.Logger
	runtime  *config.Runtime
	kv       *kvconfig.Store
	table    *routes.Table
	server   *rpc.Server
	notify   *notifier
	depart   *departures.Shell // nil: the node gossips with nobody
	vanished *vanished.Shell   // likewise
	play     HostPlay          // nil: its kernel tells of hosts
	tries    tries
	faults   *repeats
	shares   *shares
	admins   mq.Networks    // who may change something for others; nil: everybody
	refusals rate.Sometimes // limits the log of who is none; the count has them all
	dispatch *dispatch
	counts   *admin.Counts
	admin    *admin.Server // nil: neither HTTP nor a socket is wanted
	ready    readiness.Readiness
	onEvent  func(*routes.Event) // nil: nobody
	dropped  func() uint64       // lines of the log; nil: not known
	closing  bool                // connections of clients are closed while the node is not ready and another one is
	clock    func() clock.Stamp
	identity admin.Identity
	listener net.Listener          // nil: Start binds one
	path     func(port int) string // of the Unix socket
	machines mq.Networks           // --tombstones-from; nil: everybody
	shared   sharedSources

	readyAfter, joinWait time.Duration // see config.Config
	elsewhere            atomic.Bool   // this node is not ready and another one is; kept while closing only
	asOriginal           bool          // with files that the original would write, too

	announcing sync.Mutex // one announcement at a time

	drain drain

	addrs      *addrserver.Server             // nil: no address server
	advertise  string                         // --advertise-serve; empty: where the node listens
	advertised atomic.Pointer[netip.AddrPort] // what it stands for; nil: not known yet
	resolve    func(ctx context.Context, network, host string) ([]netip.Addr, error)
	ipv6       bool // the address may be one of IPv6

	stops []stopStep
}

type stopStep struct {
	name string
	stop func(context.Context) error
}

// New checks the configuration and reads the KV store. It binds nothing.
func New(cfg config.Config, log *slog.Logger) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log = slog.New(cutLog{log.Handler()})
	kv, err := openKV(&cfg, log)
	if err != nil {
		return nil, err
	}
	kv.SetLimits(kvLimits(&cfg))
	n := &Node{
		log:      log,
		runtime:  config.NewRuntime(cfg, log.With("component", "config")),
		kv:       kv,
		notify:   newNotifier(&cfg.TLS, log.With("component", "notify")),
		faults:   newRepeats(),
		admins:   cfg.AdminFrom,
		shares:   newShares(cfg.Memory.Tables, int64(kvLimits(&cfg).Store)),
		refusals: rate.Sometimes{First: 10, Interval: time.Second},
		dispatch: newDispatch(),
		clock:    cfg.Clock,
		identity: admin.Identity{Release: cfg.Release},
		listener: cfg.Listener,
		path:     cfg.SocketPath,
		machines: cfg.TombstonesFrom,

		asOriginal: cfg.KVAsOriginal,

		onEvent: cfg.OnEvent,
	}
	watched := cfg.HTTP != "" || cfg.SocketPath(0) != ""
	n.counts = admin.NewCounts(n.dispatch.codes(), watched)
	n.closing, n.dropped = cfg.CloseClientsUntilReady, cfg.DroppedLines
	n.readyAfter, n.joinWait = cfg.ReadyAfter, cfg.JoinWait
	n.advertise, n.ipv6, n.resolve = cfg.Addresses.Advertise, cfg.Addresses.IPv6, net.DefaultResolver.LookupNetIP
	n.addrs = n.newAddressServer(&cfg)
	n.drain.onStop, n.drain.quiet = cfg.DrainOnStop, cfg.DrainQuiet
	if cfg.Gossip != nil {
		n.identity.Name, n.identity.Cluster = cfg.Gossip.Name, cfg.Gossip.Cluster
	}
	n.table = routes.New(routes.Config{
		Clock:        cfg.Clock,
		Encode:       encodeRoute,
		OrderConf:    n.orderConf,
		CacheBytes:   cacheBytes(cfg.Memory.Routes),
		AsideBytes:   asideBytes(&cfg.DeadHosts),
		TombstoneTTL: tombstone.TTL,
		Options:      tableOptions(&cfg.Options),
	})
	n.server, err = newServer(&cfg, n, watched, log.With("component", "rpc"))
	if err != nil {
		return nil, err
	}
	if watched {
		if n.admin, err = admin.New(cfg.HTTP, view{n}, n.counts, log.With("component", "http")); err != nil {
			return nil, err
		}
	}
	if cfg.Gossip != nil {
		g := *cfg.Gossip
		g.Logger, g.Release = log.With("component", "gossip"), cfg.Release
		g.Clock = cfg.Clock // that of the tables: their stamps are compared
		g.Holdings = &divergence.Holdings{Table: n.table, KVStore: kv, Runtime: n.runtime, Stand: n.standing, Clock: cfg.Clock}
		if also := g.OnDecision; n.admin != nil {
			g.OnDecision = func(d tombstone.Decision) {
				n.admin.Decided(&d)
				if also != nil {
					also(d)
				}
			}
		}
		n.watchHosts(&cfg, &g)
		if n.depart, err = departures.New(n.table, n.apply, g); err != nil {
			return nil, err
		}
		if err := n.vanished.Attach(n.Gossip()); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// cacheBytes is the budget for encoded routes.
func cacheBytes(share int64) int64 {
	if share > 0 {
		return min(routes.DefaultCacheBytes, share)
	}
	return routes.DefaultCacheBytes
}

// kvLimits are those of the operator, or the default where the memory allows it.
func kvLimits(cfg *config.Config) kvconfig.Limits {
	l := kvconfig.Limits{Value: cfg.KVValueMax, Store: cfg.KVStoreMax}
	if l.Store == 0 {
		l.Store = config.DefaultKVStoreMax
		if share := cfg.Memory.KV; share > 0 {
			l.Store = min(l.Store, int(share))
		}
	}
	return l
}

func newServer(cfg *config.Config, n *Node, timed bool, log *slog.Logger) (*rpc.Server, error) {
	o := &cfg.Options
	rc := rpc.DefaultConfig()
	if timed {
		rc.Timed = func(code int32, took time.Duration) { n.counts.Timed(n.dispatch.slot(code), took) }
	}
	rc.Addr = net.JoinHostPort(o.BindHost(), strconv.Itoa(int(o.ListenPort)))
	rc.Idle = func() time.Duration {
		return time.Duration(n.runtime.Options().ServerChannelMaxIdleTimeSeconds) * time.Second
	}
	rc.ProxyFrom = cfg.ProxyFrom
	rc.MaxFrame = int(cfg.FrameMaxBytes)
	rc.MaxConns = cfg.MaxConnections
	rc.Memory, rc.Owner, rc.Listed, rc.Closing = cfg.Memory.Passing, n.owner, n.listed, n.lastWord
	rc.SocketReadBuffer = int(o.ServerSocketRcvBufSize)
	rc.SocketWriteBuffer = int(o.ServerSocketSndBufSize)
	if o.WriteBufferHighWaterMark > 0 && o.WriteBufferLowWaterMark > 0 {
		rc.HighWatermark = int(o.WriteBufferHighWaterMark)
	}
	if cfg.BinaryHeaders {
		rc.Serialize = remoting.RocketMQ
	}
	rc.Class = n.dispatch.class
	rc.Pools = pools(o, int32(max(1, runtime.GOMAXPROCS(0)/2)))
	rc.Clock, rc.Logger = cfg.Clock, log
	if err := useTLS(&rc, &cfg.TLS, log); err != nil {
		return nil, err
	}
	return rpc.New(rc, n)
}

// pools are the original's two, and of the default one's size three more. What works without a pause, lists and large bodies,
// takes half of the cores at most: the original's threads that are more than that count as places to wait at.
func pools(o *config.Options, half int32) (p [rpc.Pools]rpc.PoolSize) {
	threads, queue := max(o.DefaultThreadPoolNums, 1), o.DefaultThreadPoolQueueCapacity
	atOnce := min(threads, half)
	p[rpc.DefaultPool] = poolSize(atOnce, queue+threads-atOnce)
	p[rpc.ClientPool] = poolSize(o.ClientRequestThreadPoolNums, o.ClientRequestThreadPoolQueueCapacity)
	p[rpc.BrokerPool] = poolSize(threads, queue)
	p[rpc.LargePool] = poolSize(half, queue)
	p[rpc.DiskPool] = poolSize(queue, 0) // one of them writes, for all that wait
	return p
}

// poolSize keeps a pool alive whatever the configuration says: the original fails to start with fewer than one thread.
func poolSize(threads, queue int32) rpc.PoolSize {
	return rpc.PoolSize{Threads: int(max(threads, 1)), Queue: int(max(queue, 0))}
}

func tableOptions(o *config.Options) routes.Options {
	return routes.Options{
		SupportActingMaster:  o.SupportActingMaster,
		DeleteUnlistedTopics: o.DeleteTopicWithBrokerRegistration,
		NotifyMinBrokerID:    o.NotifyMinBrokerIDChanged,
	}
}

// Start binds the port and serves. When it fails, what had started is stopped again. The context ends what it waits for, not
// what it has started.
func (n *Node) Start(ctx context.Context) error {
	if err := n.listen(ctx); err != nil {
		return err
	}
	n.ready.Start(n.clock(), n.depart != nil)
	n.runtime.Bound(int32(n.Addr().Port()))
	n.checkDataDir()
	if n.admin != nil { // first, and so stopped last: whoever asks meanwhile is told that the node is not ready
		if err := n.admin.Start(ctx); err != nil {
			return errors.Join(err, n.Stop(context.WithoutCancel(ctx)), n.server.Shutdown(context.WithoutCancel(ctx)))
		}
		n.onStop("listeners for operators", n.admin.Stop)
		n.openSocket(ctx)
	}
	n.onStop("notifier", n.notify.stop)
	for _, start := range []func(context.Context) error{n.firstAdvertised, n.startAddressServer, n.startGossip} {
		if err := start(ctx); err != nil {
			undo := context.WithoutCancel(ctx)
			return errors.Join(err, n.Stop(undo), n.server.Shutdown(undo))
		}
	}
	n.goOnStop("expiry scan", n.sweep)
	if n.depart != nil {
		n.goOnStop("silent hosts", n.vanished.Run)
		n.goOnStop("readiness", n.watchReadiness)
		n.goOnStop("divergence", func(ctx context.Context) {
			divergence.Watch(ctx, n.Gossip(), view{n}.Up, n.vanished.Status, n.log)
		})
	}
	if n.advertise != "" {
		n.goOnStop("address of this node", n.watchAdvertised)
	}
	if n.addrs != nil {
		n.goOnStop("address lists", n.addrs.Run)
	}
	go func() {
		if err := n.server.Serve(); err != nil && !errors.Is(err, rpc.ErrClosed) {
			n.log.Error("server stopped accepting", "err", err)
		}
	}()
	n.onStop("server", n.server.Shutdown)
	n.enter(readiness.Serving)
	return nil
}

// openSocket makes the Unix socket for operators. Without one the node serves all the same, says so, and tries again: what is in the
// way may go, such as another node.
func (n *Node) openSocket(ctx context.Context) {
	path := n.path(int(n.Addr().Port()))
	if path == "" {
		return
	}
	err := n.admin.StartSocket(ctx, path, n.holder())
	if err == nil {
		return
	}
	n.log.Warn("no Unix socket for commands: name another place with --socket, or ask the node by --http", "path", path, "err", err)
	n.goOnStop("socket for commands", func(ctx context.Context) {
		ticker := time.NewTicker(inheritEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if n.admin.StartSocket(ctx, path, n.holder()) == nil {
				n.log.Info("Unix socket for commands could be made at last", "path", path)
				return
			}
		}
	})
}

func (n *Node) startGossip(ctx context.Context) error {
	if n.depart == nil {
		return nil
	}
	if n.admin != nil {
		detach, err := n.admin.Attach(n.Gossip().MemberName())
		if err != nil {
			return err
		}
		n.onStop("series of memberlist", func(context.Context) error { detach(); return nil })
	}
	if err := n.Gossip().Start(ctx); err != nil {
		return err
	}
	n.onStop("gossip", n.depart.Stop)
	return nil
}

func (n *Node) listen(ctx context.Context) error {
	if n.listener != nil {
		return n.server.Use(n.listener)
	}
	return n.server.Listen(ctx)
}

// Addr is the bound address; invalid before Start.
func (n *Node) Addr() netip.AddrPort {
	addr, ok := n.server.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := addr.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// HTTPAddr is the bound address of --http; invalid when there is none.
func (n *Node) HTTPAddr() netip.AddrPort {
	if n.admin == nil {
		return netip.AddrPort{}
	}
	return n.admin.Addr()
}

// Socket is the path of the Unix socket for operators; empty where there is none.
func (n *Node) Socket() string {
	if n.admin == nil {
		return ""
	}
	return n.admin.Socket()
}

// Gossip is the node's membership; nil when it gossips with nobody.
func (n *Node) Gossip() *gossip.Gossip {
	if n.depart == nil {
		return nil
	}
	return n.depart.Gossip()
}

// ReloadKeys reads the gossip keys again; a fault is logged and leaves the old ones in use. Without gossip it does
// nothing.
func (n *Node) ReloadKeys() error {
	if n.depart == nil {
		return nil
	}
	return n.depart.Gossip().ReloadKeys()
}

// Table is the node's routing tables, for inspection.
func (n *Node) Table() *routes.Table { return n.table }

// Runtime is the node's configuration as it is now.
func (n *Node) Runtime() *config.Runtime { return n.runtime }

// Stop undoes Start in reverse order, within the context's deadline. It may be called again.
func (n *Node) Stop(ctx context.Context) error {
	n.enter(readiness.Stopping)
	var errs []error
	for i := len(n.stops) - 1; i >= 0; i-- {
		step := n.stops[i]
		if err := step.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", step.name, err))
		}
	}
	n.stops = nil
	return errors.Join(errs...)
}

func (n *Node) onStop(name string, stop func(context.Context) error) {
	n.stops = append(n.stops, stopStep{name, stop})
}

// goOnStop runs loop until the node stops, and waits for it then.
func (n *Node) goOnStop(name string, loop func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		loop(ctx)
	}()
	n.onStop(name, func(stopCtx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-stopCtx.Done():
			return stopCtx.Err()
		}
	})
}

// sweep is the expiry scan: first after 5 seconds, then every scanNotActiveBrokerInterval (NamesrvController). The
// interval is read once, as in the original.
func (n *Node) sweep(ctx context.Context) {
	every := time.Duration(n.runtime.Options().ScanNotActiveBrokerInterval) * time.Millisecond
	timer := time.NewTimer(min(every, 5*time.Second))
	defer timer.Stop()
	told := n.readyAfter
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			n.apply(n.table.Expire())
			told = n.tellGap(told)
			n.shared.look(n.table, clock.Now(), n.log)
			timer.Reset(every)
		}
	}
}
