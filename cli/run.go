package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/memory"
)

// fewFiles are too few for the connections of a fleet.
const fewFiles = 4096

// stopWithin bounds the closing of connections and files, after a drain if there was one.
const stopWithin = 10 * time.Second

// server is what the command line needs of a node, or of several.
type server interface {
	Start(ctx context.Context) error
	Addr() netip.AddrPort
	HTTPAddr() netip.AddrPort
	Socket() string      // empty: there is none
	KVFault() error      // why KV values cannot be changed; nil: they can
	OptionsFault() error // likewise options
	Ready() (ready bool, why string)
	Reload(next *config.Config) error
	Drain(ctx context.Context)
	Stop(ctx context.Context) error
}

var _ server = (*node.Node)(nil)

// nodeMaker makes a node that is not started.
type nodeMaker func(cfg config.Config, log *slog.Logger) (server, error)

func newNode(cfg config.Config, log *slog.Logger) (server, error) {
	n, err := node.New(cfg, log)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// run makes a node and runs it; ready is called once it listens.
func (p *program) run(ctx context.Context, cfg config.Config, log *slog.Logger, s serving, ready func(server)) (by syscall.Signal, err error) {
	p.tightenMemory()
	cfg.Memory.Obey()
	settling, settled := context.WithCancel(context.Background())
	defer settled()
	go memory.Settle(settling)
	if files := memory.Files(); files < fewFiles {
		log.Warn("this process may have few files open, and each connection is one: raise LimitNOFILE of its unit, or ulimit -n", "files", files,
			"connections", cfg.MaxConnections)
	}
	cfg.DroppedLines = p.streams.dropped
	n, err := p.newNode(cfg, log)
	if err != nil {
		return 0, err
	}
	s.dir, s.tlsOnly = filepath.Dir(cfg.Options.KVConfigPath), cfg.TLS.Mode == config.TLSEnforcing
	by, err = p.runServer(ctx, n, log, s, func() (done func()) {
		ready(n)
		return func() {}
	})
	return by, explainListen(err)
}

// explainListen adds the remedy to why a port could not be opened. Gossip's message has one of its own, with its flag.
func explainListen(err error) error {
	op, opening := errors.AsType[*net.OpError](err)
	switch opening = opening && op.Op == "listen"; {
	case errors.Is(err, syscall.EADDRINUSE) && !strings.Contains(err.Error(), "another program has this port"):
		return fmt.Errorf("%w: another program has this port, perhaps a NameServer that still runs; stop it or choose another port", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine has no such address; give one that it has, or 0.0.0.0 for all of them, and say with --advertise (gossip) and "+
			"--advertise-serve (address lists) how others reach it", err)
	case opening && errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: ports below 1024 are for root, or for who has CAP_NET_BIND_SERVICE (AmbientCapabilities= of a unit); choose another one", err)
	}
	return err
}

// runServer starts n, calls ready once it listens, and stops it at the first signal to stop or when ctx ends; then done
// is called. It serves on for as long as the options ask for it; a second signal cuts that short. by is the signal that
// ended it, 0 when none did.
func (p *program) runServer(ctx context.Context, n server, log *slog.Logger, s serving, ready func() (done func())) (by syscall.Signal, err error) {
	signals := p.catch(s)
	defer signals.release()
	keepCrashes(s.dir, log)
	manager := p.supervised(n, log, s)
	if by, err := startUntil(ctx, n, log, signals.stop); err != nil || by != 0 {
		return by, err
	}
	done := ready()
	manager.serving()
	by = p.serveUntil(ctx, n, log, s, signals)
	manager.stopping()
	done()
	drain(ctx, n, signals.stop)
	manager.drained()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := n.Stop(stopping); err != nil {
		return by, fmt.Errorf("stop: %w", err)
	}
	return by, nil
}

// startUntil starts n. A signal to stop that comes meanwhile ends what the start waits for, such as DNS; by is that signal when
// the start did not come to its end for it.
func startUntil(ctx context.Context, n server, log *slog.Logger, stop chan os.Signal) (by syscall.Signal, err error) {
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	started, watched := make(chan struct{}), make(chan os.Signal, 1)
	go func() {
		defer close(watched)
		select {
		case got := <-stop:
			watched <- got
			cancel()
		case <-started:
		}
	}()
	err = n.Start(starting)
	close(started)
	got, stopped := <-watched
	if !stopped {
		return 0, err
	}
	if err == nil {
		select {
		case stop <- got: // it is for who waits there
		default: // two more have come since
		}
		return 0, nil
	}
	log.Info("stopping", "signal", got.String(), "err", err)
	by, _ = got.(syscall.Signal) // the only kind there is
	return by, nil
}

func drain(ctx context.Context, n server, signals <-chan os.Signal) {
	draining, enough := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Drain(draining)
	}()
	select {
	case <-signals:
	case <-done:
	}
	enough()
	<-done
}

// gcPercent lets the heap grow by a quarter between collections, not by its own size: most of it is tables and encoded
// routes that live long, and the path of a route query allocates nothing, so collections are rare all the same.
const gcPercent = 25

// tightenMemory does so unless the operator says otherwise by Go's own variable.
func (p *program) tightenMemory() {
	for _, v := range p.environ {
		if strings.HasPrefix(v, "GOGC=") {
			return
		}
	}
	debug.SetGCPercent(gcPercent)
}
