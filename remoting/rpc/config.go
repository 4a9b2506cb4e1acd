package rpc

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
)

// Handler is what a server does with requests.
type Handler interface {
	// Serve handles one request and fills in resp, which was Reset. It runs in the goroutine that serves the connection, so the
	// requests of one connection come in order and a Serve that waits holds up its own connection only. req is
	// valid until Serve returns. For a one-way request the server drops resp. A panic becomes code 1.
	Serve(c *Conn, req *remoting.Request, resp *remoting.Response)
	// Closed is called exactly once for each connection that got as far as its first frame byte, after its last Serve.
	Closed(c *Conn)
}

// PoolSize bounds the requests of one kind (ThreadPoolExecutor of NamesrvController): at most Threads are handled at
// once, at most Queue more wait for their turn, the rest is answered with code 2 at once.
type PoolSize struct {
	Threads int
	Queue   int
}

// Pool is a kind of requests with limits of its own: none waits for the turn of one of another kind.
type Pool uint8

// The first two are those of NamesrvController (defaultExecutor, clientRequestExecutor).
const (
	DefaultPool Pool = iota
	ClientPool
	BrokerPool // signs of life of brokers
	LargePool  // bodies that take a while to parse
	DiskPool   // what waits for a disk
	Pools      // how many there are
)

func (p Pool) String() string {
	return [...]string{"DefaultPool", "ClientPool", "BrokerPool", "LargePool", "DiskPool"}[p]
}

// Class is what a request is before it is handled.
type Class struct {
	Pool Pool
	// Changes says that it does something. Else its only effect is its answer: it is not handled where nobody can get that.
	Changes bool
	// Short says that its work does not grow with what is stored. Every other one gives its place in the pool up when it is done.
	Short bool
}

// ClassOf is the original's rule: route queries have ClientPool, every other code has DefaultPool
// (NamesrvController.registerProcessor). Whatever it is, a request may change something.
func ClassOf(req *remoting.Request) Class {
	if req.Code == remoting.GetRouteInfoByTopic {
		return Class{Pool: ClientPool, Changes: true, Short: true}
	}
	return Class{Pool: DefaultPool, Changes: true}
}

// Config of a Server. Start from DefaultConfig: no zero value stands for a default.
type Config struct {
	Addr string // "host:port"; port 0 picks a free one

	// Idle is read when a connection is set up: it is closed after this time without a byte read or written.
	// Zero or less switches the rule off for that connection.
	Idle func() time.Duration

	MaxFrame     int           // largest whole frame in bytes, length word included
	MaxConns     int           // open connections; 0: no limit. From three quarters on some give way, see crowd.go
	Memory       int64         // bytes that frames, answers and what serves connections may hold, all together
	FrameTimeout time.Duration // from a frame's first byte to its last, stretched by a second for each MinFrameRate bytes
	MinFrameRate int           // bytes a second that a large frame must come in with
	StuckAfter   time.Duration // in which a peer takes nothing of what is written to it: then it is closed, or its answers are dropped
	FirstTimeout time.Duration // from the first byte of a PROXY header or TLS handshake to its end

	SocketReadBuffer  int // SO_RCVBUF in bytes, 0: the system's choice (serverSocketRcvBufSize)
	SocketWriteBuffer int // SO_SNDBUF in bytes, 0: the system's choice (serverSocketSndBufSize)

	// HighWatermark is how many bytes of answers are gathered before they are written although more requests are there
	// (writeBufferHighWaterMark). There is no low one: a connection reads on when all is written.
	HighWatermark int

	Serialize remoting.SerializeType // of every answer (rocketmq.serialize.type)

	Pools [Pools]PoolSize                   // by Pool
	Class func(req *remoting.Request) Class // called for each request

	ProxyFrom mq.Networks // who may speak for others by a PROXY header: see Conn.Source; nil: nobody

	TLSMode TLSMode
	TLS     *TLS // nil: a TLS handshake closes the connection

	// Timed is told how long requests took, of route queries one in 64: from the decoded frame until the answer was handed
	// to the socket. It is called where the connection is served and must not wait. Nil: nothing is timed.
	Timed func(code int32, took time.Duration)

	// Closing is told of a connection whose socket is about to be closed, while Look can still read it, and must not wait. Nil: of none.
	Closing func(c *Conn)

	// Owner says whether a connection owns a registration, and for how long the eldest of them has been there: such a connection gives
	// way last. Called from any goroutine.
	Owner func(c *Conn) (since time.Duration, owns bool)
	// Listed says whether a request, of which the body may be missing, is what a broker that is registered from the same
	// source sends: on a new connection it gives way last, too.
	Listed func(c *Conn, req *remoting.Request) bool

	Clock  func() clock.Stamp // of every stamp
	Logger *slog.Logger
}

// DefaultConfig is the NameServer's: every interface, port 9876, the sizes of NamesrvConfig and NettyServerConfig.
func DefaultConfig() Config {
	return Config{
		Addr:          ":9876",
		Idle:          func() time.Duration { return 120 * time.Second },
		MaxFrame:      16 << 20,
		Memory:        1 << 30,
		FrameTimeout:  60 * time.Second,
		MinFrameRate:  64 << 10,
		FirstTimeout:  10 * time.Second,
		StuckAfter:    20 * time.Second,
		HighWatermark: 64 << 10,
		Pools: [...]PoolSize{
			DefaultPool: {Threads: 16, Queue: 10000},
			ClientPool:  {Threads: 8, Queue: 50000},
			BrokerPool:  {Threads: 16, Queue: 10000},
			LargePool:   {Threads: 1, Queue: 10000},
			DiskPool:    {Threads: 10000},
		},
		Class:   ClassOf,
		Owner:   func(*Conn) (time.Duration, bool) { return 0, false },
		Listed:  func(*Conn, *remoting.Request) bool { return false },
		TLSMode: Permissive,
		Clock:   clock.Now,
		Logger:  slog.New(slog.DiscardHandler),
	}
}

// Validate reports every field that cannot work.
func (c *Config) Validate() error {
	var errs []error
	need := func(ok bool, field, remedy string) {
		if !ok {
			errs = append(errs, fmt.Errorf("rpc: %s: %s", field, remedy))
		}
	}
	need(c.Idle != nil, "Idle", "must be set")
	need(c.Logger != nil, "Logger", "must be set")
	need(c.Clock != nil, "Clock", "must be set")
	need(c.MaxFrame >= 1<<10 && c.MaxFrame <= 1<<30, "MaxFrame", "must be between 1 KiB and 1 GiB")
	need(c.MaxConns >= 0, "MaxConns", "must not be negative")
	need(c.Memory >= 1<<20, "Memory", "must be 1 MiB at least")
	need(c.Owner != nil, "Owner", "must be set")
	need(c.Listed != nil, "Listed", "must be set")
	need(c.FrameTimeout > 0, "FrameTimeout", "must be positive")
	need(c.MinFrameRate > 0, "MinFrameRate", "must be positive")
	need(c.StuckAfter > 0, "StuckAfter", "must be positive")
	need(c.FirstTimeout > 0, "FirstTimeout", "must be positive")
	need(c.HighWatermark > 0, "HighWatermark", "must be positive")
	need(c.Serialize == remoting.JSON || c.Serialize == remoting.RocketMQ, "Serialize", "must be JSON or ROCKETMQ")
	for i, p := range c.Pools {
		need(p.Threads > 0 && p.Queue >= 0, Pool(i).String(), "needs one thread or more and no negative queue")
	}
	need(c.Class != nil, "Class", "must be set")
	return errors.Join(errs...)
}
