package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/node"
	"github.com/epitaph-mq/epitaph/remoting"
)

const (
	defaultPort = "127.0.0.1:9876" // the NameServer's, where nobody says otherwise
	healthTopic = node.HealthTopic
)

func (p *program) healthCommand() *command.Command {
	var w where
	var v view
	var l liveness
	v.out = p.stdout
	return &command.Command{
		Name:      "health",
		Usage:     "ask a node whether clients should be sent to it (exit status 0 or 1)",
		UsageText: "epitaph health [--live | --socket PATH | -a HOST:PORT | -n HOST:PORT] [--json]",
		Description: `Prints one line and ends with 0 when the node is ready, and with 1 when it is not (starting, waiting for brokers,
draining) or does not answer: what a load balancer or a readinessProbe wants. Where no node is named, no socket is found and nobody
answers by HTTP, the port for brokers and clients is asked: a node that is ready answers route queries there. With -n that
port alone is asked, of any NameServer.

With --live it is asked whether the node lives: whatever is answered at its port for brokers and clients, in plain text or by
TLS, is a yes. That is the check for whoever restarts what does not live (a container's health check, a livenessProbe with
timeoutSeconds above --for); readiness is for whoever sends clients.`,
		Flags: append(append(append(w.flags(), l.flags()...), nameServerFlags(&v.nameServer)...), command.Flag{To: &v.json, Name: "json", Usage: "for programs: JSON"}),
		Run: func(ctx context.Context, _ []string) error {
			if l.on {
				a, err := p.live(ctx, &l)
				if err != nil {
					return err
				}
				return v.verdict(a, a.Live, a.Why, a.Why)
			}
			h, err := p.health(ctx, w, &v)
			if err != nil {
				return err
			}
			return v.verdict(h, h.Ready, h.Why, h.Node+": "+h.Why)
		},
	}
}

// verdict prints an answer: as JSON, or why it is a yes. A no is an error.
func (v *view) verdict(answer any, yes bool, why, no string) (err error) {
	if v.json {
		err = v.printAsJSON(answer)
	} else if yes {
		_, err = fmt.Fprintln(v.out, why)
	}
	if err == nil && !yes {
		err = errors.New(no)
	}
	return err
}

// healthAnswer is what health --json prints.
type healthAnswer struct {
	Node  string `json:"node"` // that answered: a path, or HOST:PORT
	Ready bool   `json:"ready"`
	Why   string `json:"why"`
}

// health asks the node that is meant and, where nobody named it and it does not answer, the port for brokers and clients.
func (p *program) health(ctx context.Context, w where, v *view) (h healthAnswer, err error) {
	if v.nameServer.addr != "" {
		return healthOfAll(ctx, v.nameServer)
	}
	node, err := p.find(ctx, w)
	if err != nil {
		return h, err
	}
	status, body, err := ask(ctx, node, "/readyz")
	switch {
	case err != nil && !node.named && node.socket == "":
		port := defaultPort
		if host, number, err := net.SplitHostPort(p.env(envOf("listen"))); err == nil {
			port = net.JoinHostPort(loopbackFor(host), number)
		}
		h, portErr := healthByPort(ctx, nameServer{addr: port})
		if portErr != nil {
			return h, fmt.Errorf("%w; %w", err, portErr)
		}
		return h, nil
	case err != nil:
		return h, err
	}
	line, _, _ := strings.Cut(string(body), "\n")
	return healthAnswer{node.String(), status == http.StatusOK, shorten(printable(line), 3*screenWidth)}, nil
}

// healthOfAll asks every NameServer that was named: one that is not ready is told, and the others are not.
func healthOfAll(ctx context.Context, servers nameServer) (h healthAnswer, err error) {
	all, err := servers.each()
	if err != nil {
		return h, err
	}
	for _, one := range all {
		if h, err = healthByPort(ctx, one); err != nil || !h.Ready {
			return h, err
		}
	}
	if h.Node = servers.addr; len(all) > 1 {
		h.Why = fmt.Sprintf("all %d are ready (their ports for brokers and clients answer)", len(all))
	}
	return h, nil
}

// healthByPort asks for the route of a topic that nobody has: a node that is ready says so, one that is not answers with
// code 1, or with nothing.
func healthByPort(ctx context.Context, server nameServer) (healthAnswer, error) {
	_, err := server.ask(ctx, remoting.GetRouteInfoByTopic, map[string]string{"topic": healthTopic})
	if refused, ok := errors.AsType[*refusal](err); ok {
		return healthAnswer{server.addr, false, fmt.Sprintf("code %d: %s", refused.code, refused.remark)}, nil
	}
	if err != nil {
		return healthAnswer{}, err
	}
	return healthAnswer{server.addr, true, "ready (its port for brokers and clients answers)"}, nil
}
