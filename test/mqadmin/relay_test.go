package mqadmin

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

// maxFrame bounds what the relay keeps of one frame.
const maxFrame = 16 << 20

// exchange is one request and its answer as they passed the relay.
type exchange struct {
	request, answer *remoting.Command // answer is nil while there is none
	header          string            // of the answer, as it came
}

// relay stands in front of a NameServer and records what passes.
type relay struct {
	addr, target string

	mu    sync.Mutex
	seen  []*exchange
	conns map[net.Conn]bool
}

// startRelay relays to target until t ends.
func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), target: target, conns: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { r.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		running.Wait()
	})
	return r
}

// serve carries both directions of one connection; the end of either side ends both.
func (r *relay) serve(client net.Conn) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", r.target, 5*time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	r.mu.Lock()
	r.conns[client], r.conns[server] = true, true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, client)
		delete(r.conns, server)
		r.mu.Unlock()
	}()
	waiting := map[int32]*exchange{} // by opaque; guarded by r.mu
	var both sync.WaitGroup
	both.Go(func() {
		defer server.Close()
		_ = carry(server, client, func(c *remoting.Command, _ string) {
			e := &exchange{request: c}
			r.seen = append(r.seen, e)
			waiting[c.Opaque] = e
		}, &r.mu)
	})
	both.Go(func() {
		defer client.Close()
		_ = carry(client, server, func(c *remoting.Command, header string) {
			if e := waiting[c.Opaque]; e != nil {
				e.answer, e.header = c, header
				delete(waiting, c.Opaque)
			}
		}, &r.mu)
	})
	both.Wait()
}

// carry copies whole frames and shows each, under mu, before it goes on.
func carry(to io.Writer, from io.Reader, show func(c *remoting.Command, header string), mu *sync.Mutex) error {
	for {
		var length [4]byte
		if _, err := io.ReadFull(from, length[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(length[:])
		if n < 4 || n > maxFrame {
			return fmt.Errorf("frame of %d bytes", n)
		}
		frame := make([]byte, 4+n)
		copy(frame, length[:])
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return err
		}
		c, err := remoting.DecodeCommand(frame[4:])
		if err != nil {
			return fmt.Errorf("decode frame: %w", err)
		}
		header := binary.BigEndian.Uint32(frame[4:]) & 0xFFFFFF
		mu.Lock()
		show(c, string(frame[8:8+header]))
		mu.Unlock()
		if _, err := to.Write(frame); err != nil {
			return err
		}
	}
}

// take returns what has passed since the last take.
func (r *relay) take() []exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]exchange, len(r.seen))
	for i, e := range r.seen {
		list[i] = *e
	}
	r.seen = nil
	return list
}

// saw says that a request of that code has passed since the last take and was answered.
func (r *relay) saw(code int32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.seen {
		if e.request.Code == code && e.answer != nil {
			return true
		}
	}
	return false
}
