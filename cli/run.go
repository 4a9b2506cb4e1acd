package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/node/config"
)

// stopWithin bounds the closing of connections and files, after a drain if there was one.
const stopWithin = 10 * time.Second

// server is what the command line needs of a node, or of several.
type server interface {
	Start(ctx context.Context) error
	Addr() netip.AddrPort
	HTTPAddr() netip.AddrPort
	Socket() string // empty: there is none
	ReloadKeys() error
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
func (p *program) run(ctx context.Context, cfg config.Config, log *slog.Logger, ready func(server)) error {
	p.tightenMemory()
	n, err := p.newNode(cfg, log)
	if err != nil {
		return err
	}
	keys := cfg.Gossip != nil && cfg.Gossip.KeyFile != ""
	err = p.runServer(ctx, n, log, keys, func() (done func()) {
		ready(n)
		return func() {}
	})
	// Gossip's message has a remedy of its own, with its flag.
	if errors.Is(err, syscall.EADDRINUSE) && !strings.Contains(err.Error(), "another program has this port") {
		err = fmt.Errorf("%w: another program has this port, perhaps a NameServer that still runs; stop it or choose another port", err)
	}
	return err
}

// runServer starts n, calls ready once it listens, and stops it at the first signal or when ctx ends; then done is
// called. It serves on for as long as the options ask for it; a second signal cuts that short. SIGHUP reads the gossip
// keys again; where there are none it stops the node, as it does a Java NameServer, unless the process was told to
// ignore it (nohup).
func (p *program) runServer(ctx context.Context, n server, log *slog.Logger, keys bool, ready func() (done func())) error {
	if ctx == nil {
		ctx = context.Background()
	}
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	if keys {
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
	} else if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	done := ready()
	serveUntil(ctx, n, log, signals, hangups)
	done()
	drain(ctx, n, signals)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := n.Stop(stopping); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// serveUntil returns at the first signal to stop.
func serveUntil(ctx context.Context, n server, log *slog.Logger, signals, hangups <-chan os.Signal) {
	for {
		select {
		case got := <-signals:
			log.Info("stopping", "signal", got.String())
			return
		case <-ctx.Done():
			log.Info("stopping", "err", context.Cause(ctx))
			return
		case <-hangups:
			if n.ReloadKeys() == nil { // a fault was logged there
				log.Info("gossip keys reloaded")
			}
		}
	}
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
