package cli

import (
	"context"
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
)

// stopWithin bounds the closing of connections and files, after a drain if there was one.
const stopWithin = 10 * time.Second

// server is what the command line needs of a node.
type server interface {
	Start(ctx context.Context) error
	Addr() netip.AddrPort
	Drain(ctx context.Context)
	Stop(ctx context.Context) error
}

var _ server = (*node.Node)(nil)

// nodeMaker makes a node that is not started.
type nodeMaker func(cfg node.Config, log *slog.Logger) (server, error)

func newNode(cfg node.Config, log *slog.Logger) (server, error) {
	n, err := node.New(cfg, log)
	if err != nil {
		return nil, err
	}
	return n, nil
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

// run starts a node, calls ready once it listens, and stops it at the first signal or when ctx ends. It serves on for
// as long as the options ask for it; a second signal cuts that short.
func (p *program) run(ctx context.Context, cfg node.Config, log *slog.Logger, ready func(server)) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	p.tightenMemory()
	n, err := p.newNode(cfg, log)
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	ready(n)
	select {
	case got := <-signals:
		log.Info("stopping", "signal", got.String())
	case <-ctx.Done():
		log.Info("stopping", "err", context.Cause(ctx))
	}
	drain(ctx, n, signals)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := n.Stop(stopping); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
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
