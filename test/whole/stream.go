package whole

import (
	"net"
	"time"
)

// A stream is two net.Pipes with a carrier between them in each direction, which keeps bytes for their time on the way and
// holds them up while the path is cut. A pipe alone would make the writer wait for the reader, and knows no delay.

// chunk is what one read took from the writer.
type chunk struct {
	bytes []byte
	due   time.Time
}

// addressed is a net.Conn with addresses.
type addressed struct {
	net.Conn
	local, remote net.Addr
}

func (a addressed) LocalAddr() net.Addr  { return a.local }
func (a addressed) RemoteAddr() net.Addr { return a.remote }

// stream connects two endpoints. The caller holds World.mu.
func (w *World) stream(from, to *endpoint) (mine, theirs net.Conn) {
	left, near := net.Pipe()
	far, right := net.Pipe()
	a, b := &net.TCPAddr{IP: from.addr.IP, Port: 40000}, &net.TCPAddr{IP: to.addr.IP, Port: gossipPort}
	w.group.Go(func() { w.carry(near, far, from, to) })
	w.group.Go(func() { w.carry(far, near, to, from) })
	return addressed{left, a, b}, addressed{right, b, a}
}

// carry moves bytes one way until either end closes.
func (w *World) carry(src, dst net.Conn, from, to *endpoint) {
	way := make(chan chunk, 1024)
	w.group.Go(func() {
		defer close(way)
		for {
			b := make([]byte, 8<<10)
			n, err := src.Read(b)
			if n > 0 {
				w.mu.Lock()
				d := w.Net.StreamDelay()
				w.mu.Unlock()
				way <- chunk{b[:n], time.Now().Add(d)}
			}
			if err != nil {
				return
			}
		}
	})
	defer func() {
		_, _ = src.Close(), dst.Close()
		for range way { // lets the reader end
		}
	}()
	for c := range way {
		pause(time.Until(c.due))
		for begun := time.Now(); w.blocked(from, to); {
			if time.Since(begun) > time.Minute { // both ends have given up long ago
				return
			}
			pause(20 * time.Millisecond)
		}
		if _, err := dst.Write(c.bytes); err != nil {
			return
		}
	}
}

func (w *World) blocked(from, to *endpoint) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return from.dead || to.dead || w.Net.Cut[from.m.index][to.m.index] ||
		time.Until(from.m.until) > 0 || time.Until(to.m.until) > 0
}
