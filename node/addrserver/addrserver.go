// Package addrserver answers brokers and clients that ask which NameServers there are: RocketMQ's address server
// (DefaultTopAddressing, rocketmq.namesrv.domain), over HTTP at a port that serves nothing else. What it lists is decided in
// package addresses; this is the shell: the listener, the asking of addresses, the file that outlives a restart, the log.
package addrserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/node/addresses"
	"github.com/epitaph-mq/epitaph/node/door"
	"github.com/epitaph-mq/epitaph/node/lockfile"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// lookEvery is how often the lists are made anew: who drains is to be gone from the clients' within a second.
const lookEvery = 200 * time.Millisecond

// pathPrefix begins the path of both lists (MixAll.getWSAddr).
const pathPrefix = "/rocketmq/"

// Config of a Server.
type Config struct {
	Listen           string   // HOST:PORT (--address-server)
	Clients, Brokers string   // last part of each list's path
	Static           []string // HOST:PORT of NameServers that are no members
	Keep             time.Duration
	File             string        // where the lists are kept over a restart
	Holder           func() string // what is said of this node to another one that would keep its lists there

	Members func() addresses.Input                                                // all that gossip knows, this node included; static ones are not among it
	Client  rpc.ClientConfig                                                      // for asking addresses; its TLS, unless nil, is used where one speaks only TLS
	Resolve func(ctx context.Context, network, host string) ([]netip.Addr, error) // looks names up
	Clock   func() clock.Stamp
	Logger  *slog.Logger
}

// Server is the address server of one node. Make it with New, then Start, Run and Stop.
type Server struct {
	cfg  Config
	door *door.Door     // nil before Start
	lock *lockfile.Lock // of the file; nil: there is none

	foreign bool // the file is another node's

	mu     sync.Mutex // guards the following fields
	lists  *addresses.Lists
	static []netip.AddrPort
	named  bool // names among them have not been looked up yet
	told   told
	status addresses.Status

	clients, brokers atomic.Pointer[string] // the bodies
	requests         [addresses.OtherPath + 1]atomic.Uint64
	asker            asker
}

// New reads the lists of the last run. It binds nothing.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, asker: newAsker(cfg.Client)}
	kept, err := load(cfg.File)
	if err != nil {
		cfg.Logger.Warn("the address lists of the last run cannot be read: none is served before a member is met", "path", cfg.File, "err", err)
	}
	s.lists = addresses.New(cfg.Keep, kept, cfg.Clock())
	s.told.kept = kept
	s.static = literals(cfg.Static)
	s.named = len(s.static) < len(cfg.Static)
	s.publish()
	return s
}

// Start binds the port and serves at once: what is known from the last run, else 503, with which clients keep what they have.
func (s *Server) Start(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("--address-server=%s: %w: another program has this port; stop it, or choose another port and name it in "+
			"rocketmq.namesrv.domain as HOST:PORT", s.cfg.Listen, err)
	}
	if err != nil {
		return fmt.Errorf("--address-server=%s: %w", s.cfg.Listen, err)
	}
	s.ownFile()
	// Clients ask every two minutes, and there are thousands of them: a connection kept for the next time is one too many.
	s.door = door.OpenToMany(ctx, l, http.HandlerFunc(s.serve), s.cfg.Logger)
	return nil
}

// Addr is the bound address; only after Start.
func (s *Server) Addr() netip.AddrPort { return s.door.Addr() }

// Stop closes the port.
func (s *Server) Stop(ctx context.Context) error {
	if s.lock != nil {
		defer s.lock.Release()
	}
	return s.door.Close(ctx)
}

// Run keeps the lists right until ctx ends.
func (s *Server) Run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { s.askAll(ctx) })
	if s.named { // nobody else has changed it yet
		group.Go(func() { s.resolveAll(ctx) })
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		s.look()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Server) input() (in addresses.Input) {
	in = s.cfg.Members()
	in.Static, in.Met = s.static, in.Met && !s.named
	return in
}

// look makes the lists anew.
func (s *Server) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.input()
	before := s.lists.View()
	clients, brokers := s.lists.Update(in, s.cfg.Clock())
	s.tell(&before, in.Met)
	s.publish()
	s.status.Count(clients, brokers)
	s.keep()
}

// publish hands the lists to those who ask. The caller holds mu, or nobody else has the server yet.
func (s *Server) publish() {
	v := s.lists.View()
	clients, brokers := v.Clients.String(), v.Brokers.String()
	s.clients.Store(&clients)
	s.brokers.Store(&brokers)
}

// Status is for metrics and people.
func (s *Server) Status() addresses.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	status.View = s.lists.View()
	for i := range s.requests {
		status.Requests[i] = s.requests[i].Load()
	}
	return status
}

// serve answers one request. Whatever else a client sends, a unit behind the name, a query, a Host of its own, changes nothing.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	path := s.pathOf(r.URL.Path)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		path = addresses.OtherPath
	}
	s.requests[path].Add(1)
	var list string
	switch path {
	case addresses.ClientsPath:
		list = *s.clients.Load()
	case addresses.BrokersPath:
		list = *s.brokers.Load()
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if list == "" {
		http.Error(w, "no address is known yet; its log says why", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", fmt.Sprint(len(list)))
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(list)) // a client that left is no fault
	}
}

// pathOf says which list is meant. NAME-UNIT is NAME for a unit (DefaultTopAddressing), of which this server knows none; the
// longer name goes first, for it may begin with the other one.
func (s *Server) pathOf(path string) addresses.Path {
	name, ok := strings.CutPrefix(path, pathPrefix)
	if !ok || strings.Contains(name, "/") {
		return addresses.OtherPath
	}
	first, second := addresses.ClientsPath, addresses.BrokersPath
	names := [...]string{addresses.ClientsPath: s.cfg.Clients, addresses.BrokersPath: s.cfg.Brokers}
	if len(names[second]) > len(names[first]) {
		first, second = second, first
	}
	for _, p := range []addresses.Path{first, second} {
		if unit, ok := strings.CutPrefix(name, names[p]); ok && (unit == "" || len(unit) > 1 && unit[0] == '-') {
			return p
		}
	}
	return addresses.OtherPath
}
