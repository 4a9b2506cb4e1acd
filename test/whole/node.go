package whole

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node"
	nodeconfig "github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/test/world"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// machine is a host with its clocks, and the node that runs on it at the moment.
type machine struct {
	w     *World
	index int
	alias string // the node's name, unless it is the machine's letter
	keys  string // its key file
	clock *world.Clock

	// World.mu guards the following fields.
	life       *life                   // nil: no node runs
	plain      bool                    // it runs without gossip
	mode       nodeconfig.DeadHostMode // what it does about dead hosts; empty: nobody in this world does anything
	braked     bool                    // as it told last
	onHold     bool
	until      time.Time
	stoodStill bool      // its clocks have lost time once
	quiet      time.Time // since then everybody can hear its clocks
	lives      uint64
}

// life is one process of a node.
type life struct {
	m        *machine
	number   uint64
	node     *node.Node
	endpoint *endpoint
	listener *listener

	// World.mu guards the following fields.
	over     bool
	accepted uint64
	conns    []*conn
	ready    map[int]*conn // by host, open and silent
	byPort   map[uint16]*conn
	ghosts   world.Ghosts
	evicted  world.Ghosts // by a tombstone that the next decision names
	leaving  map[tombstone.Key]leaving
	vanished map[tombstone.Key]takenOut // what the rule about dead hosts took
}

func (w *World) newMachine(i int) *machine {
	return &machine{w: w, index: i, keys: w.keys, quiet: time.Now(), clock: w.NewClock(0.9)}
}

func (m *machine) name() string { return cmp.Or(m.alias, world.NodeName(m.index)) }
func (m *machine) ip() net.IP   { return net.IPv4(10, 7, 0, byte(1+m.index)) }

func (m *machine) current() *life {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return m.life
}

// gossiping is the node that runs, if it gossips.
func (m *machine) gossiping() *life {
	if m.plain {
		return nil
	}
	return m.current()
}

func (w *World) makeKeys() {
	w.keys = filepath.Join(w.dir, "keys")
	key := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	if err := os.WriteFile(w.keys, []byte(key+"\n"), 0o600); err != nil {
		w.tb.Fatal(err)
	}
}

// rejoinEvery is the default without room for jitter beyond it, so that a scenario can say how long a rejoin takes at most.
const rejoinEvery = 12 * time.Second

// start begins a new life of the machine's node: empty tables, no tombstones, another boot number.
func (m *machine) start() {
	w := m.w
	l := &life{
		m: m, endpoint: w.endpoint(m), ghosts: world.Ghosts{}, evicted: world.Ghosts{},
		ready: map[int]*conn{}, byPort: map[uint16]*conn{}, leaving: map[tombstone.Key]leaving{}, vanished: map[tombstone.Key]takenOut{},
	}
	l.listener = &listener{m: m, conns: make(chan net.Conn, 1024), done: make(chan struct{})}
	g := gossip.DefaultConfig()
	g.Bind, g.Cluster, g.Name, g.KeyFile = m.ip().String()+":7946", "whole", m.name(), m.keys
	g.RejoinEvery, g.Transport = rejoinEvery, l.endpoint
	g.OnMade, g.OnDecision, g.OnRefutedEviction = l.made, l.decided, l.refuted
	for _, o := range w.machine {
		if o != m {
			g.Seeds = append(g.Seeds, o.ip().String()+":7946")
		}
	}
	home := filepath.Join(w.dir, m.ip().String())
	if err := os.MkdirAll(home, 0o700); err != nil {
		w.tb.Fatal(err)
	}
	cfg := nodeconfig.Default(nodeconfig.System{UserHome: home})
	cfg.Options.ServerChannelMaxIdleTimeSeconds = 24 * 3600 // brokers here say nothing for as long as the schedule likes
	cfg.Listener, cfg.Clock, cfg.OnEvent = l.listener, m.clock.Creep, l.changed
	if m.mode != "" {
		cfg.DeadHosts.Mode, cfg.DeadHosts.Nodes = m.mode, len(w.machine)
	}
	if m.plain {
		_ = l.endpoint.Shutdown() // nobody listens
	} else {
		cfg.Gossip = &g
	}
	var err error
	if l.node, err = node.New(cfg, slog.New(ears{l})); err != nil {
		w.tb.Fatal(err)
	}
	if m.mode != "" {
		l.node.Play(kernels{l})
	}
	if err := l.node.Start(context.Background()); err != nil {
		w.tb.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m.lives++
	l.number = m.lives
	m.life, m.quiet = l, time.Now()
	m.braked, m.onHold = false, false
	w.Logf("%s starts", m.name())
}

// stop ends the node's process: in order, or killed, which nobody hears of. A stop takes some seconds.
func (m *machine) stop(killed bool) {
	w := m.w
	w.mu.Lock()
	l := m.life
	m.life = nil
	if l != nil {
		w.Logf("%s stops, killed %v", m.name(), killed)
		l.endpoint.dead = killed
		for _, c := range l.conns {
			if killed {
				c.Hangup() // its kernel says FIN
			}
		}
		l.over = killed
	}
	w.mu.Unlock()
	if l == nil {
		return
	}
	w.group.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := l.node.Stop(ctx); err != nil && !killed && !w.isOver() {
			w.logged("%s did not stop in order: %v", m.name(), err)
		}
	})
}

func (w *World) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

func (w *World) logged(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Logf(format, args...)
}

// halt stops the node's process for d: nothing gets in or out. What clocks are stopped stand still meanwhile.
func (m *machine) halt(d time.Duration, stopped world.Stopped) {
	w := m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Until(m.until) > 0 {
		return
	}
	m.until = time.Now().Add(d)
	m.quiet = m.until
	m.clock.Stop(stopped)
	time.AfterFunc(d, func() { m.clock.Stop(world.Runs) })
}

// ears count what a node logs.
type ears struct{ l *life }

func (e ears) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (e ears) WithAttrs([]slog.Attr) slog.Handler               { return e }
func (e ears) WithGroup(string) slog.Handler                    { return e }

func (e ears) Handle(_ context.Context, r slog.Record) error {
	w := e.l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines[r.Message]++
	e.l.m.tells(&r)
	if r.Level >= slog.LevelWarn {
		text := fmt.Sprintf("%v %s: %s", time.Since(w.started), e.l.m.name(), r.Message)
		r.Attrs(func(a slog.Attr) bool {
			text += " " + a.String()
			return true
		})
		w.warned = append(w.warned, text)
	}
	return nil
}

// warnings takes the lines that have warned since the last call.
func (w *World) warnings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.warned
	w.warned = nil
	return all
}
