package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
)

const (
	liveFor   = 30 * time.Second // --for
	livePause = time.Second      // between two tries
	liveTry   = 5 * time.Second  // for one
)

// liveness are the flags of health --live: where the node listens, and how, as serve is told.
type liveness struct {
	on             bool
	within         time.Duration
	listen, config string
	set            []string
}

func (l *liveness) flags() []command.Flag {
	l.within = liveFor
	return []command.Flag{
		{To: &l.on, Name: "live", Usage: "ask whether the node lives, not whether it is ready, at its own port for brokers and clients: for a supervisor that restarts it"},
		{To: &l.within, Name: "for", Usage: "with --live: ask again and again for so long a `TIME` before saying no"},
		{To: &l.listen, Name: "listen", Env: envOf("listen"), Default: "0.0.0.0:9876", Usage: "with --live: `HOST:PORT`, as given to epitaph serve --listen"},
		{To: &l.config, Name: "config", Env: envOf("config"), Default: "none", Usage: "with --live: `FILE`, as given to epitaph serve --config"},
		{To: &l.set, Name: "set", Env: envOf("set"), Usage: "with --live: `NAME=VALUE`, as given to epitaph serve --set"},
	}
}

// liveAnswer is what health --live --json prints.
type liveAnswer struct {
	Node   string  `json:"node"` // HOST:PORT
	Live   bool    `json:"live"`
	Why    string  `json:"why"`
	TookMS float64 `json:"took_ms"`
}

// live asks the node's own port until somebody answers. Whatever is answered says that the process lives and does its work:
// an error code, and an alert of TLS too, so no certificate is needed. It says no only when all of the time is over, so that
// a busy minute makes no supervisor end a node and empty its tables.
func (p *program) live(ctx context.Context, l *liveness) (a liveAnswer, err error) {
	if _, _, err := net.SplitHostPort(l.listen); l.listen != "" && err != nil {
		return a, command.UsageError(fmt.Errorf("--listen=%q: want HOST:PORT, such as 127.0.0.1:9876", l.listen))
	}
	if l.within <= 0 {
		return a, command.UsageError(fmt.Errorf("--for=%v: want a time above 0, such as %v", l.within, liveFor))
	}
	// What is wrong with the rest, such as a file that went away, does not concern a node that runs.
	cfg, _, _ := p.serveConfig(serveSettings{listen: l.listen, config: l.config, set: l.set, gossip: noGossip})
	o := &cfg.Options
	began := time.Now()
	a.Node = net.JoinHostPort(loopbackFor(o.BindHost()), strconv.Itoa(int(o.ListenPort)))
	ctx, cancel := context.WithTimeout(ctx, l.within)
	defer cancel()
	var fault error
	for {
		err := knock(ctx, a.Node, cfg.TLS.Mode == config.TLSEnforcing)
		if err == nil {
			took := time.Since(began)
			a.Live, a.TookMS = true, float64(took.Microseconds())/1000
			a.Why = fmt.Sprintf("live: %s answered after %v", a.Node, took.Round(100*time.Microsecond))
			return a, nil
		}
		if fault == nil || ctx.Err() == nil { // what the end cut short says less
			fault = err
		}
		timer := time.NewTimer(livePause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			a.Why = fmt.Sprintf("%s has not answered for %v: %v", a.Node, l.within, fault)
			return a, nil
		}
	}
}

// knock asks once, in plain text and by TLS: in the way that the configuration says first.
func knock(ctx context.Context, addr string, byTLS bool) error {
	ctx, cancel := context.WithTimeout(ctx, liveTry)
	defer cancel()
	var faults []error
	for _, secure := range []bool{byTLS, !byTLS} {
		err := askAnything(ctx, addr, secure)
		if err == nil {
			return nil
		}
		faults = append(faults, err)
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			break // the other way leads there, too
		}
	}
	return faults[0]
}

// askAnything asks what costs the node next to nothing. Nil is an answer.
func askAnything(ctx context.Context, addr string, secure bool) error {
	var way *tls.Config
	if secure {
		way = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is asked whether it lives, not who it is
	}
	_, err := nameServer{addr: addr}.once(ctx, way, &remoting.Command{
		Code: remoting.GetRouteInfoByTopic, Version: remoting.Version, Ext: map[string]string{"topic": healthTopic},
	})
	if err != nil && strings.Contains(err.Error(), "remote error: tls: ") {
		return nil // an alert: it wants a certificate, or another version of TLS
	}
	return err
}
