package rpc

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
)

// writeChunk bounds one call to the socket: a peer that reads slowly shows progress, for the idle rule, by each of them.
const writeChunk = 64 << 10

// wire is the socket below TLS. Reads and writes belong to the goroutine that serves the connection.
type wire struct {
	net.Conn
	raw      syscall.RawConn // nil when it is no TCP socket
	clock    func() clock.Stamp
	canProve bool // tcpi_bytes_acked can be read
	meter    meter
	prefix   []byte                  // bytes read before TLS took over
	conn     *Conn                   // which it is of; nil in tests
	fd       int                     // of the socket, while readRaw holds it
	tail     []byte                  // of an answer that began to go out to a peer that is stuck
	stuck    atomic.Bool             // the peer takes nothing, and its connection is kept
	closing  *atomic.Pointer[string] // of the connection during its handshake, which is not read on after a deadline
	sent     uint64                  // bytes written since accept, below TLS
	track    atomic.Pointer[tracker] // nil until writes are tracked
}

// acknowledger is a connection in memory that knows what its peer has acknowledged, counted like tcpi_bytes_acked.
type acknowledger interface{ BytesAcked() uint64 }

func (w *wire) init(nc net.Conn, ticks *atomic.Int64, now func() clock.Stamp) {
	w.Conn, w.clock = nc, now
	w.meter.ticks = ticks
	w.meter.touch(&w.meter.read)
	if tc, ok := nc.(*net.TCPConn); ok {
		if raw, err := tc.SyscallConn(); err == nil {
			w.raw = raw
			w.canProve = provable
		}
	} else {
		_, w.canProve = nc.(acknowledger)
	}
}

// Read is TLS's; plain connections on Linux read by readRaw.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.prefix) > 0 {
		n := copy(p, w.prefix)
		w.prefix = w.prefix[n:]
		return n, nil
	}
	for {
		n, err := w.Conn.Read(p)
		w.meter.in(n)
		if w.closing == nil || n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		_ = w.SetReadDeadline(time.Time{}) // the sweeper's, which found the connection silent a moment ago
		if w.closing.Load() != nil {
			return 0, err
		}
	}
}

// Write writes all of p in steps of writeChunk.
func (w *wire) Write(p []byte) (n int, err error) {
	if len(w.tail) > 0 { // within an answer
		return len(p), w.keep(p)
	}
	for {
		step := p[n:min(len(p), n+writeChunk)]
		w.meter.begin()
		stamp := w.stamp()
		m, err := w.send(step)
		w.meter.done()
		w.wrote(m, stamp)
		n += m
		if err != nil && w.stuckOn(err) {
			return len(p), w.keep(p[n:])
		}
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// send writes p, and waits only for room in the socket.
func (w *wire) send(p []byte) (int, error) {
	n := w.writeNow(p)
	if n == len(p) {
		return n, nil
	}
	m, err := w.Conn.Write(p[n:])
	return n + m, err
}

// writeTwo writes head and body without copying the body.
func (w *wire) writeTwo(head, body []byte) error {
	first := min(len(body), writeChunk)
	stamp := w.stamp()
	bufs := net.Buffers{head, body[:first]}
	w.meter.begin()
	m, err := bufs.WriteTo(w.Conn)
	w.meter.done()
	w.wrote(int(m), stamp)
	if err != nil && w.stuckOn(err) {
		for _, rest := range append(bufs, body[first:]) { // WriteTo has taken away what went out
			if err := w.keep(rest); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil || first == len(body) {
		return err
	}
	_, err = w.Write(body[first:])
	return err
}

// gone says that the peer cannot get an answer. One that has only ended its own sending can.
func (w *wire) gone() (gone bool) {
	if w.raw != nil {
		_ = w.raw.Control(func(fd uintptr) { gone = isGone(int(fd)) })
	}
	return gone
}

// stamp is read just before a write: an acknowledgement of that write proves life after it. It is zero where none would.
func (w *wire) stamp() clock.Stamp {
	if w.track.Load() == nil || w.ending() {
		return clock.Stamp{}
	}
	return w.clock()
}

// ending says that the peer has ended its sending, or the connection is closed. A broker closes both ways at once: who goes on reading is a proxy, and
// what it acknowledges now says nothing about the process behind it, which is gone.
func (w *wire) ending() bool {
	if w.raw == nil {
		return false
	}
	open := false
	_ = w.raw.Control(func(fd uintptr) { open = isOpen(int(fd)) })
	return !open
}

func (w *wire) wrote(n int, stamp clock.Stamp) {
	w.sent += uint64(n)
	w.meter.out(n)
	if !stamp.IsZero() && n > 0 {
		w.track.Load().add(mark{end: w.sent, stamp: stamp}, w.acked)
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
