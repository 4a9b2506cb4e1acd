package survey

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/node/properties"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
)

const (
	timedAnswers  = 20 // of each NameServer
	brokersAtOnce = 32
	behindBytes   = 64 << 20 // a replica that lacks no more is not behind
	behindLooks   = 3        // answers in which it must be
)

// Evidence is everything that findings are concluded from.
type Evidence struct {
	At      time.Time
	Settle  time.Duration
	Targets []Target
	Diff    *Result
	Servers []ServerSeen // in the order of the targets
	Brokers []BrokerSeen // each advertised address once, by cluster, name, id
	Names   map[string][]netip.Addr
	Untried []string // why our node did not try an address
	topics  *topicStats
}

// Tried is what one of our nodes found that tried an address.
type Tried struct {
	Node    string // its name
	Reached bool
	Why     string // why not
}

// ServerSeen is one NameServer beside its tables.
type ServerSeen struct {
	RTT   time.Duration   // of a TCP connection
	Times []time.Duration // of its answers, sorted
	Large map[string]int  // bytes of large answers
	TLS   TLSSeen
}

// TLSSeen is what a handshake beside plain text found.
type TLSSeen struct {
	Tried, Plain, Secure bool
	Test                 bool // the certificate is the one that RocketMQ makes for itself where nobody gives it one
	Subject              string
	Ends                 time.Time
}

// Mode is how somebody can be talked to. TLS by a certificate for tests, which every Java peer has, is none.
func (t *TLSSeen) Mode() string {
	switch {
	case !t.Tried:
		return ""
	case t.Plain && t.Secure && !t.Test:
		return "plain text and TLS"
	case t.Plain:
		return "plain text"
	case t.Secure:
		return "TLS alone"
	}
	return ""
}

// BrokerSeen is one advertised address of a broker.
type BrokerSeen struct {
	BrokerKey
	At []int // which NameServers list it

	Dial       What // empty: it takes connections
	DialError  string
	RefusedFor time.Duration // between the first and the last try

	Answered bool // 28
	Fault    error
	Version  int32 // 0: not known
	Offsets  []int64
	Disk     float64       // part of the store's disk that is used; below 0: not known
	Clock    time.Duration // of the broker, ahead of this machine
	HasClock bool

	Node *Tried // what one of our nodes found that tried it; nil: none did

	List    []string // its own namesrvAddr, sorted
	HasList bool
	TLS     TLSSeen
}

// advertised are all addresses of brokers that the NameServers list.
func advertised(views []*View) (all []BrokerSeen) {
	at := map[BrokerKey]int{}
	for server, v := range views {
		for _, g := range v.Groups {
			for _, a := range g.Addrs {
				key := BrokerKey{g.Cluster, g.Broker, a.ID, a.Addr}
				i, known := at[key]
				if !known {
					i = len(all)
					at[key] = i
					all = append(all, BrokerSeen{BrokerKey: key, Disk: -1})
				}
				if !slices.Contains(all[i].At, server) {
					all[i].At = append(all[i].At, server)
				}
			}
		}
	}
	order.By(all, func(a, b BrokerSeen) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Broker, b.Broker), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Addr, b.Addr))
	})
	return all
}

// BrokerKey is one address of a broker.
type BrokerKey struct {
	Cluster, Broker string
	ID              int64
	Addr            string
}

// Gather looks at NameServers and then at the brokers that they list.
func (s *Survey) Gather(ctx context.Context) (*Evidence, error) {
	s.stats = &topicStats{}
	defer func() { s.stats = nil }()
	r, err := s.Diff(ctx)
	if err != nil {
		return nil, err
	}
	e := &Evidence{At: time.Now(), Settle: s.Settle, Targets: s.Targets, Diff: r, Servers: make([]ServerSeen, len(s.peers)),
		Brokers: advertised(r.Views), Names: map[string][]netip.Addr{}, topics: s.stats}
	var all sync.WaitGroup
	for i, p := range s.peers {
		if r.Views[i].Fault == nil {
			all.Go(func() { e.Servers[i] = s.serverSeen(ctx, p) })
		}
	}
	all.Wait() // before the brokers: what they cost this machine would count as slowness
	s.brokersSeen(ctx, e)
	s.triedByNode(ctx, e)
	e.names(ctx, s.access.Timeout)
	s.count(r)
	return e, ctx.Err()
}

// serverSeen times 20 answers, one after another, and tries TLS.
func (s *Survey) serverSeen(ctx context.Context, p *Peer) (seen ServerSeen) {
	p.mu.Lock()
	seen.Large = p.large
	p.mu.Unlock()
	plain := p.plain()
	began := time.Now()
	if c, err := s.dial(ctx, p.Addr); err == nil {
		seen.RTT = time.Since(began)
		c.Close()
	}
	for range timedAnswers {
		_, took, err := p.timed(ctx, remoting.GetKVListByNamespace, map[string]string{"namespace": orderNamespace})
		if err != nil {
			break
		}
		seen.Times = append(seen.Times, took)
	}
	slices.Sort(seen.Times)
	seen.TLS = s.tryTLS(ctx, p.Addr, plain)
	return seen
}

func (s *Survey) dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: s.access.Timeout}
	return d.DialContext(ctx, "tcp", addr)
}

// tryTLS shakes hands, and says nothing more.
func (s *Survey) tryTLS(ctx context.Context, addr string, plain bool) TLSSeen {
	seen := TLSSeen{Tried: true, Plain: plain}
	conf := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is looked at, not trusted
	if s.access.TLS != nil {
		conf = s.access.TLS.Clone()
		conf.InsecureSkipVerify = true
	}
	within, cancel := context.WithTimeout(ctx, s.access.Timeout)
	defer cancel()
	d := tls.Dialer{Config: conf}
	c, err := d.DialContext(within, "tcp", addr)
	if err != nil {
		return seen
	}
	defer c.Close()
	seen.Secure = true
	if certs := c.(*tls.Conn).ConnectionState().PeerCertificates; len(certs) > 0 {
		one := certs[0]
		seen.Subject, seen.Ends = one.Subject.CommonName, one.NotAfter
		seen.Test = one.Issuer.String() == one.Subject.String() && slices.Contains([]string{"localhost", "example.com"}, one.Subject.CommonName)
	}
	return seen
}

// brokersSeen asks every advertised address, and those again that need a second look.
func (s *Survey) brokersSeen(ctx context.Context, e *Evidence) {
	each := func(which func(b *BrokerSeen) bool, look func(b *BrokerSeen)) {
		var all sync.WaitGroup
		room := make(chan struct{}, brokersAtOnce)
		for i := range e.Brokers {
			if b := &e.Brokers[i]; which(b) {
				room <- struct{}{}
				all.Go(func() {
					look(b)
					<-room
				})
			}
		}
		all.Wait()
	}
	began := time.Now()
	each(func(*BrokerSeen) bool { return true }, func(b *BrokerSeen) { s.brokerSeen(ctx, b) })
	refused := func(b *BrokerSeen) bool { return b.Dial != "" }
	if slices.ContainsFunc(e.Brokers, func(b BrokerSeen) bool { return refused(&b) }) && s.settle(ctx) {
		// It may have been about to unregister: what counts is who is refused and still listed.
		listed := advertised(s.facts(ctx, nil))
		e.Brokers = slices.DeleteFunc(e.Brokers, func(b BrokerSeen) bool {
			return refused(&b) && !slices.ContainsFunc(listed, func(l BrokerSeen) bool { return l.BrokerKey == b.BrokerKey })
		})
		each(refused, func(b *BrokerSeen) {
			if s.brokerSeen(ctx, b); b.Dial != "" {
				b.RefusedFor = time.Since(began)
			}
		})
	}
	for n := 1; n < behindLooks && len(behind(e.Brokers)) > 0 && s.settle(ctx); n++ {
		each(func(b *BrokerSeen) bool { return len(b.Offsets) == n }, func(b *BrokerSeen) {
			p := NewPeer(b.Addr, Broker, s.access)
			defer p.Close()
			b.runtime(ctx, p)
		})
	}
}

// triedByNode lets our node try each address, one after another, for it tries one a second. Once it does not answer it is asked no more.
func (s *Survey) triedByNode(ctx context.Context, e *Evidence) {
	if s.Try == nil {
		return
	}
	tried := map[string]*Tried{}
	for i := range e.Brokers {
		addr := e.Brokers[i].Addr
		if _, done := tried[addr]; !done && ctx.Err() == nil {
			one, again, err := s.Try(ctx, addr)
			if tried[addr] = one; err != nil {
				e.Untried = append(e.Untried, err.Error())
			}
			if !again {
				return
			}
		}
		e.Brokers[i].Node = tried[addr]
	}
}

func (s *Survey) brokerSeen(ctx context.Context, b *BrokerSeen) {
	p := NewPeer(b.Addr, Broker, s.access)
	defer p.Close()
	b.Dial, b.DialError = "", ""
	if nobodys(b.Addr, s.Targets) { // broker-address-local says it
		return
	}
	c, err := s.dial(ctx, b.Addr)
	if err != nil {
		if f, ok := errors.AsType[*Fault](p.fault(ctx, err)); ok {
			b.Dial, b.DialError = f.What, f.Err.Error()
		}
		return
	}
	c.Close()
	b.runtime(ctx, p)
	if b.Fault == nil {
		b.ownList(ctx, p)
	}
	b.TLS = s.tryTLS(ctx, b.Addr, p.plain() && b.Answered)
}

// runtime asks for 28.
func (b *BrokerSeen) runtime(ctx context.Context, p *Peer) {
	sent := time.Now()
	answer, err := p.Ask(ctx, getBrokerRuntimeInfo, nil)
	came := time.Now()
	if err == nil && answer.Code != remoting.Success {
		err = refusal(p, answer)
	}
	var table []body.KV
	if err == nil {
		if table, err = body.DecodeKVTable(answer.Body); err != nil {
			err = &Fault{p.Addr, Garbage, err}
		}
	}
	if b.Fault = err; err != nil {
		return
	}
	b.Answered, b.Version = true, answer.Version // 5.5.0 says its version there alone
	b.read(table, sent.Add(came.Sub(sent)/2))
}

// read takes from the answer to 28 what findings need. at is when it was made, by this machine's clock.
func (b *BrokerSeen) read(table []body.KV, at time.Time) {
	boot, runtime := int64(-1), time.Duration(-1)
	for _, kv := range table {
		switch kv.Key {
		case "brokerVersion":
			if n, err := strconv.ParseInt(kv.Value, 10, 32); err == nil {
				b.Version = int32(n)
			}
		case "commitLogMaxOffset":
			if n, err := strconv.ParseInt(kv.Value, 10, 64); err == nil {
				b.Offsets = append(b.Offsets, n)
			}
		case "commitLogDiskRatio":
			if f, err := strconv.ParseFloat(kv.Value, 64); err == nil && !math.IsNaN(f) {
				b.Disk = f
			}
		case "bootTimestamp":
			if n, err := strconv.ParseInt(kv.Value, 10, 64); err == nil {
				boot = n
			}
		case "runtime":
			runtime = parseRuntime(kv.Value)
		}
	}
	if boot > 0 && runtime >= 0 { // whole seconds: the middle of the one that runs
		b.Clock, b.HasClock = time.UnixMilli(boot).Add(runtime+time.Second/2).Sub(at), true
	}
}

// parseRuntime reads "[ 1,234 days, 5 hours, 6 minutes, 7 seconds ]", in whichever way the broker's locale groups digits;
// below 0: it is something else.
func parseRuntime(text string) time.Duration {
	parts := regexp.MustCompile(`[0-9][0-9.,'\x{2019}\x{00a0}\x{202f} ]*`).FindAllString(text, -1)
	if len(parts) != 4 {
		return -1
	}
	var sum time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		digits := strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, parts[i])
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || n > 100_000 {
			return -1
		}
		sum += time.Duration(n) * unit
	}
	return sum
}

// ownList asks for 26, the whole configuration, and keeps namesrvAddr alone.
func (b *BrokerSeen) ownList(ctx context.Context, p *Peer) {
	answer, err := p.Ask(ctx, getBrokerConfig, nil)
	if err != nil || answer.Code != remoting.Success {
		return // it may be forbidden
	}
	entries, err := properties.Parse(properties.FromText(answer.Body))
	if err != nil {
		return
	}
	for _, entry := range entries {
		if entry.Key == "namesrvAddr" && entry.Value != "" {
			b.List, b.HasList = SplitList(entry.Value), true
			slices.Sort(b.List)
			b.List = slices.Compact(b.List)
		}
	}
}

// names looks up what names NameServers: those of the command line, and those that brokers have.
func (e *Evidence) names(ctx context.Context, timeout time.Duration) {
	look := func(hostPort string) {
		host, _, err := net.SplitHostPort(hostPort)
		if _, known := e.Names[host]; err == nil && !known && len(e.Names) < 1000 {
			e.Names[host] = addresses(ctx, host, timeout)
		}
	}
	for _, t := range e.Targets {
		look(t.Name)
	}
	for i := range e.Brokers {
		for _, one := range e.Brokers[i].List {
			look(one)
		}
	}
}

// resolved are the addresses behind HOST:PORT; nil: not known.
func (e *Evidence) resolved(hostPort string) (all []netip.AddrPort) {
	host, port, err := net.SplitHostPort(hostPort)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil {
		return nil
	}
	for _, a := range e.Names[host] {
		all = append(all, netip.AddrPortFrom(a, uint16(n)))
	}
	return all
}

// behind are the replicas that were so in every answer so far.
func behind(brokers []BrokerSeen) (all []int) {
	for i := range brokers {
		b := &brokers[i]
		m := slices.IndexFunc(brokers, func(m BrokerSeen) bool {
			return m.ID == 0 && m.Cluster == b.Cluster && m.Broker == b.Broker && len(m.Offsets) > 0
		})
		if b.ID == 0 || m < 0 || len(b.Offsets) == 0 {
			continue
		}
		n := min(len(b.Offsets), len(brokers[m].Offsets))
		is := true
		for k := range n {
			is = is && brokers[m].Offsets[k]-b.Offsets[k] > behindBytes
		}
		if is {
			all = append(all, i)
		}
	}
	return all
}
