package survey

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// Role is what a peer is taken for: it says what it may be asked.
type Role int

// The two kinds of peers.
const (
	NameServer Role = iota
	Broker
)

// Request codes that brokers serve (Java's RequestCode).
const (
	getBrokerConfig      int32 = 26
	getBrokerRuntimeInfo int32 = 28
)

// mayAsk is the law. All of them only read; 25, between the broker's two, would change one.
func mayAsk(role Role, code int32) bool {
	if role == Broker {
		return code == getBrokerRuntimeInfo || code == getBrokerConfig
	}
	switch code {
	case remoting.GetRouteInfoByTopic, remoting.GetBrokerClusterInfo, remoting.GetAllTopicList, remoting.GetKVListByNamespace,
		remoting.GetNamesrvConfig:
		return true
	}
	return false
}

const (
	// maxAnswer is four times what RocketMQ's clients take: an answer that is too large for them is a finding, not a fault.
	maxAnswer = 64 << 20
	// largeAnswer is where an answer's size is remembered.
	largeAnswer = 1 << 20
)

// Access is how peers are asked.
type Access struct {
	Timeout time.Duration // to connect, and again for each answer
	TLS     *tls.Config   // nil: plain text and, where that is refused, TLS with anybody
	Sign    *Key          // nil: requests are not signed
	Rate    int           // requests a second to each peer at most
}

// Peer is one address that is asked. Its methods are safe for concurrent use.
type Peer struct {
	Addr   string // HOST:PORT
	role   Role
	access *Access
	pace   *pace

	mu      sync.Mutex // guards the following fields
	client  *rpc.Client
	secure  *tls.Config // what it took last
	version int32
	large   map[string]int // bytes of large answers, by what was asked
	asked   int
}

// NewPeer is the peer at HOST:PORT. Nothing is sent before it is asked.
func NewPeer(addr string, role Role, access *Access) *Peer {
	return &Peer{Addr: addr, role: role, access: access, secure: access.TLS, pace: newPace(access.Rate), large: map[string]int{}}
}

// Close ends its connection.
func (p *Peer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		p.client.Close()
		p.client = nil
	}
}

// Version is the ordinal that its last answer named; 0 before there was one.
func (p *Peer) Version() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.version
}

// Asked is how many requests were sent.
func (p *Peer) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// plain says that it was last talked to in plain text.
func (p *Peer) plain() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.secure == nil
}

// Ask sends one request and returns the answer, whatever its code. A connection that ended between two requests is opened
// anew, once. Every error is a Fault.
func (p *Peer) Ask(ctx context.Context, code int32, ext map[string]string) (*remoting.Command, error) {
	answer, _, err := p.timed(ctx, code, ext)
	return answer, err
}

// timed is Ask, and how long it took without the wait for its turn.
func (p *Peer) timed(ctx context.Context, code int32, ext map[string]string) (*remoting.Command, time.Duration, error) {
	if !mayAsk(p.role, code) {
		return nil, 0, fmt.Errorf("code %d is not sent: this only reads", code)
	}
	if err := p.pace.wait(ctx); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	answer, err := p.ask(ctx, code, ext)
	return answer, time.Since(began), err
}

func (p *Peer) ask(ctx context.Context, code int32, ext map[string]string) (*remoting.Command, error) {
	request := &remoting.Command{Code: code, Version: remoting.Version, Ext: ext}
	if p.access.Sign != nil {
		p.access.Sign.sign(request)
	}
	answer, err := p.invoke(ctx, request)
	if err != nil && ctx.Err() == nil && !isFault(err, Refused, Silent) {
		answer, err = p.invoke(ctx, request)
	}
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version = answer.Version
	if n := len(answer.Body); n >= largeAnswer {
		p.large[largeName(code, ext)] = n
	}
	return answer, nil
}

func largeName(code int32, ext map[string]string) string {
	switch code {
	case remoting.GetRouteInfoByTopic:
		return "the route of " + ext["topic"]
	case remoting.GetBrokerClusterInfo:
		return "the list of brokers"
	case remoting.GetAllTopicList:
		return "the list of topics"
	}
	return fmt.Sprintf("the answer to code %d", code)
}

func (p *Peer) invoke(ctx context.Context, request *remoting.Command) (*remoting.Command, error) {
	client, secure, err := p.connected(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := p.over(ctx, client, request)
	if err == nil || secure != nil || !isFault(err, Cut, Garbage) || p.Version() != 0 {
		return answer, err
	}
	// It never answered in plain text: it may take TLS alone.
	by := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // as mqadmin does unless it is told whom to trust
	client, tlsErr := p.connect(ctx, by)
	if tlsErr == nil {
		answer, tlsErr = p.over(ctx, client, request)
	}
	switch {
	case tlsErr == nil:
		return answer, nil
	case strings.Contains(tlsErr.Error(), "remote error: tls: "):
		return nil, tlsErr // it speaks TLS, and not with this client
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.secure = nil
	return nil, err
}

// over asks over one connection, within the timeout.
func (p *Peer) over(ctx context.Context, client *rpc.Client, request *remoting.Command) (*remoting.Command, error) {
	within, cancel := context.WithTimeout(ctx, p.access.Timeout)
	defer cancel()
	p.mu.Lock()
	p.asked++
	p.mu.Unlock()
	began := time.Now()
	answer, err := client.Invoke(within, request)
	if err != nil {
		return nil, p.fault(ctx, err)
	}
	p.pace.took(time.Since(began))
	return answer, nil
}

// connected is the open connection, or a new one, and how it is secured.
func (p *Peer) connected(ctx context.Context) (*rpc.Client, *tls.Config, error) {
	p.mu.Lock()
	client, secure := p.client, p.secure
	p.mu.Unlock()
	if client != nil && client.Err() == nil {
		return client, secure, nil
	}
	client, err := p.connect(ctx, secure)
	return client, secure, err
}

// connect opens a connection; of several that are opened at once the first one stays.
func (p *Peer) connect(ctx context.Context, secure *tls.Config) (*rpc.Client, error) {
	within, cancel := context.WithTimeout(ctx, p.access.Timeout)
	defer cancel()
	cfg := rpc.DefaultClientConfig()
	cfg.TLS, cfg.MaxFrame, cfg.WriteTimeout = secure, maxAnswer, p.access.Timeout
	client, err := rpc.Dial(within, p.Addr, cfg)
	if err != nil {
		return nil, p.fault(ctx, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil && p.client.Err() == nil && p.secure == secure {
		client.Close()
		return p.client, nil
	}
	if p.client != nil {
		p.client.Close()
	}
	p.client, p.secure = client, secure
	return client, nil
}

// What happened to a request that was not answered.
type What string

// The kinds of faults.
const (
	Refused     What = "refused"     // nothing listens at that port
	Unreachable What = "unreachable" // no way there, or no answer to the connection
	Silent      What = "silent"      // connected, and no answer within the timeout
	Cut         What = "cut"         // the connection ended instead of an answer
	Garbage     What = "garbage"     // what came is not RocketMQ's protocol
	NoTLS       What = "tls"         // the handshake failed
)

// Fault is why a request was not answered.
type Fault struct {
	Addr string
	What What
	Err  error
}

func (f *Fault) Error() string {
	why := map[What]string{
		Refused:     "nothing listens there",
		Unreachable: "cannot be reached",
		Silent:      "takes the connection and does not answer in time",
		Cut:         "ends the connection instead of answering, or in the middle of an answer",
		Garbage:     "answers something that is not RocketMQ's protocol: it is no NameServer or broker",
		NoTLS:       "does not take this client by TLS",
	}[f.What]
	err := f.Err
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op != "dial" {
		err = op.Err // without this side's port: whoever watches compares what is said
	}
	return fmt.Sprintf("%s: %s (%v)", f.Addr, why, err)
}

func (f *Fault) Unwrap() error { return f.Err }

func isFault(err error, any ...What) bool {
	f, ok := errors.AsType[*Fault](err)
	return ok && slices.Contains(any, f.What)
}

// fault says what an error of the client means. The end of ctx is none.
func (p *Peer) fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	op, _ := errors.AsType[*net.OpError](err)
	dialing := op != nil && op.Op == "dial"
	late := errors.Is(err, context.DeadlineExceeded)
	what := Garbage
	switch text := err.Error(); {
	case errors.Is(err, syscall.ECONNREFUSED):
		what = Refused
	case dialing, strings.HasPrefix(text, "rpc: dial: "):
		what = Unreachable
	case strings.Contains(text, "tls: "), strings.Contains(text, "tls handshake"):
		what = NoTLS
	case late:
		what = Silent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, net.ErrClosed), errors.Is(err, rpc.ErrClientClosed):
		what = Cut
	}
	return &Fault{p.Addr, what, err}
}
