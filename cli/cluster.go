package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/cli/output"
	"github.com/epitaph-mq/epitaph/cluster"
	"github.com/epitaph-mq/epitaph/node/config"
)

// redrawEvery is how often the live screen is drawn.
const redrawEvery = 200 * time.Millisecond

// clusterSettings are the flags of cluster.
type clusterSettings struct {
	cluster.Config
	plain bool
	log   logSettings
}

func (p *program) clusterCommand() *command.Command {
	s := clusterSettings{Config: cluster.DefaultConfig()}
	return &command.Command{
		Name:        "cluster",
		Usage:       "run three NameServers in this process, to see what they do",
		UsageText:   "epitaph cluster [--demo-brokers 4] [flags]",
		Description: clusterDescription,
		Flags:       clusterFlags(&s),
		Run:         func(ctx context.Context, _ []string) error { return p.cluster(ctx, s) },
	}
}

const clusterDescription = `Several NameServers in one process, which gossip over loopback: the same nodes as those of
epitaph serve, on the ports 9876, 9877 and 9878, their HTTP ten ports above. To try things out; whoever
stops the process stops them all.

On a terminal it shows which broker is registered where, for how long, when it last spoke and over which
connection, and below that who left and what the others did. Elsewhere it writes the nodes' log.

--demo-brokers brings synthetic brokers that speak RocketMQ's protocol as real ones do, come, go and crash.
Some of their UNREGISTERs miss one node on purpose, whose connection stays open: watch that node evict
the broker within milliseconds. The host of one vanishes now and then: the nodes find it out together (as
with --dead-hosts on; what kernels tell is played), and not when one of them alone hears nothing.

Examples:
    something to see at once:
        epitaph cluster --demo-brokers 4
    three nodes for brokers of your own:
        epitaph cluster
        mqbroker -n '127.0.0.1:9876;127.0.0.1:9877;127.0.0.1:9878'
    on any free ports:
        epitaph cluster --listen 127.0.0.1:0`

const categoryCluster = "The nodes:"

func clusterFlags(s *clusterSettings) []command.Flag {
	return append([]command.Flag{
		{To: &s.Nodes, Category: categoryCluster, Name: "nodes", Usage: "how many `N`"},
		{To: &s.Listen, Category: categoryCluster, Name: "listen",
			Usage: "`HOST:PORT` of the first; the others take the next ports, and each one's HTTP is ten above; port 0: any free ones"},
		{To: &s.Gossip, Category: categoryCluster, Name: "gossip",
			Usage: "`HOST:PORT` of the first one's gossip, on loopback; the others take the next ports; port 0: any free ones"},
		{To: &s.Data, Category: categoryCluster, Name: "data", Default: "a temporary one",
			Usage: "`DIR` of the nodes' KV stores and of the log of a run on a terminal"},
		{To: &s.DemoBrokers, Category: categoryCluster, Name: "demo-brokers", Usage: "`N` synthetic brokers that come, go and crash"},
		{To: &s.plain, Category: categoryLog, Name: "plain", Usage: "write the log instead of the table, also on a terminal"},
	}, logFlags(&s.log)...)
}

func (p *program) cluster(ctx context.Context, s clusterSettings) (err error) {
	sys := p.system(nil)
	cfg := s.Config
	cfg.System = config.System{UserHome: sys.UserHome, Properties: map[string]string{}}
	cfg.Release, cfg.Logger = revision(), slog.New(slog.DiscardHandler)
	given := cfg.Data
	if cfg.Data == "" {
		cfg.Data = os.TempDir()
	}
	_, logErr := p.newLogger(io.Discard, s.log)
	if err := errors.Join(cfg.Validate(), logErr); err != nil {
		return command.UsageError(fmt.Errorf("not started, for the command line is wrong:\n%w", indented(err)))
	}
	if given == "" {
		if cfg.Data, err = os.MkdirTemp("", "epitaph-cluster-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(cfg.Data)) }()
	} else if err := config.CheckDataDir(cfg.Data); err != nil {
		return fmt.Errorf("--data=%s: %w; give another directory, or none for a temporary one", cfg.Data, err)
	}
	screen := p.terminalOf(p.stdout)
	if s.plain {
		screen = nil
	}
	return p.runCluster(ctx, cfg, s.log, screen)
}

// runCluster runs it with its log on stderr or, where the screen is drawn, in a file.
func (p *program) runCluster(ctx context.Context, cfg cluster.Config, log logSettings, screen *terminal) error {
	p.streams.detach()
	w := p.stderr
	if screen != nil {
		f, err := os.OpenFile(filepath.Join(cfg.Data, "cluster.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		file := output.NewQueue(f, output.MaxWaiting)
		defer file.Close(lastAttempt)
		p.streams.file, w = file, file
	}
	logger, err := p.newLogger(w, log)
	if err != nil {
		return err
	}
	warnings := &warningCounter{Handler: logger.Handler(), count: new(atomic.Int64)}
	cfg.Logger = slog.New(warnings)
	cfg.DroppedLines = p.streams.dropped
	p.streams.warn(cfg.Logger)
	begin := time.Now()
	p.tightenMemory()
	nodes, err := cluster.New(cfg)
	if err != nil {
		return err
	}
	_, err = p.runServer(ctx, nodes, cfg.Logger, serving{dir: cfg.Data}, func() (done func()) {
		switch {
		case screen != nil:
		case log.format == "json":
			for i, n := range nodes.Nodes() {
				cfg.Logger.Info("serving", "version", version(), "listen", n.Addr().String(), "http", n.HTTPAddr().String(),
					"gossip", n.Gossip().Addr(), "name", nodes.Names()[i])
			}
			return func() {}
		default:
			p.clusterText(cfg, nodes)
			return func() {}
		}
		return p.showCluster(cfg, nodes, screen, begin, warnings.count)
	})
	return err
}

// warningCounter counts what should not be overlooked while the log goes to a file.
type warningCounter struct {
	slog.Handler
	count *atomic.Int64
}

func (h *warningCounter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		h.count.Add(1)
	}
	return h.Handler.Handle(ctx, r)
}

func (h *warningCounter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &warningCounter{h.Handler.WithAttrs(attrs), h.count}
}

func (h *warningCounter) WithGroup(name string) slog.Handler {
	return &warningCounter{h.Handler.WithGroup(name), h.count}
}

// showCluster draws until done is called, which then says what was seen.
func (p *program) showCluster(cfg cluster.Config, nodes *cluster.Cluster, screen *terminal, begin time.Time, warned *atomic.Int64) (done func()) {
	s := &clusterScreen{
		watch: &cluster.Watch{}, started: begin, explain: p.explained(cfg, nodes),
		log: filepath.Join(cfg.Data, "cluster.log"),
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		screen.live(ctx, redrawEvery, func(width, height int) []string {
			s.watch.Take(time.Now(), nodes.Look())
			s.warned = int(warned.Load())
			return s.draw(width, height)
		})
	}()
	return func() {
		cancel()
		<-over
		fmt.Fprintln(p.stdout, clusterSummary(s.watch))
	}
}

// clusterSummary is what remains on the screen behind a live one.
func clusterSummary(w *cluster.Watch) string {
	var left, missed int
	var slowest time.Duration
	for _, d := range w.Departures() {
		if d.How != cluster.Left {
			continue
		}
		left++
		for _, v := range d.Others {
			if v.Evicted {
				missed++
				slowest = max(slowest, v.After)
			}
		}
	}
	text := fmt.Sprintf("Stopping. In the last ten minutes %s left by UNREGISTER", plural(left, "broker", "brokers"))
	if missed == 0 {
		return text + "."
	}
	return fmt.Sprintf("%s;\na node that had missed it evicted the broker %s, after at most %s.",
		text, plural(missed, "time", "times"), span(slowest))
}

// clusterExplained says in words what is to be seen, and what to try. http is that of the first node.
func (p *program) clusterExplained(cfg cluster.Config, nodes int, addrs []string, http string) []string {
	flag := ""
	if http != defaultHTTP {
		flag = " -a " + http
	}
	try := "Try in another terminal:  " + p.self() + " tombstones" + flag
	if cfg.DemoBrokers > 0 && nodes > 1 {
		return []string{
			"Brokers register at every node. Every few seconds one leaves, and often one",
			"node does not hear it (its connection there stays open). A Java NameServer",
			"would hand that broker out for up to 2 more minutes; watch the cell of that",
			"node turn to EVICTED, and after how long. Others crash, or their host vanishes:",
			"the nodes agree on that within 9 s, and keep one that any of them hears.",
			try,
		}
	}
	return []string{
		"To see brokers here, start some with all the nodes in their list:",
		"  mqbroker -n '" + strings.Join(addrs, ";") + "'",
		"or let it imitate some:  " + p.self() + " cluster --demo-brokers 4",
		try,
	}
}

// explained is that for nodes that run.
func (p *program) explained(cfg cluster.Config, c *cluster.Cluster) []string {
	var addrs []string
	for _, n := range c.Nodes() {
		addrs = append(addrs, reachable(n.Addr()))
	}
	return p.clusterExplained(cfg, len(addrs), addrs, reachable(c.HTTPAddr()))
}

// self is how this program was called, for commands that people copy.
func (p *program) self() string {
	if strings.Contains(p.name, "/") && len(p.name) < len("../bin/epitaph-cluster") {
		return p.name
	}
	return "epitaph"
}

// clusterText is the first screen where nothing is redrawn; the nodes' log follows on stderr.
func (p *program) clusterText(cfg cluster.Config, c *cluster.Cluster) {
	fmt.Fprintf(p.stdout, "epitaph %s: %s in one process\n", version(), plural(len(c.Nodes()), "node", "nodes"))
	t := newTable("NODE", "BROKERS AND CLIENTS", "HTTP", "GOSSIP")
	for i, n := range c.Nodes() {
		t.add(c.Names()[i], n.Addr().String(), n.HTTPAddr().String(), n.Gossip().Addr())
	}
	_ = t.write(p.stdout, true) // a writer that fails has nobody to tell
	fmt.Fprintln(p.stdout)
	for _, line := range p.explained(cfg, c) {
		fmt.Fprintln(p.stdout, line)
	}
	fmt.Fprintln(p.stdout, "Stop with Ctrl-C.")
}
