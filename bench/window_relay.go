package bench

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// muteRelay passes on TCP connections to a NameServer until it is muted. From then on nothing reaches it and its connections
// stay open and silent, as where a path between two hosts is broken.
type muteRelay struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup
	ended    chan struct{} // closed by stop

	mu    sync.Mutex // guards the following fields
	muted bool
	over  bool
	conns []net.Conn
}

func startMuteRelay(target string) (*muteRelay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a broker's path: %w", err)
	}
	r := &muteRelay{listener: l, target: target, ended: make(chan struct{})}
	r.running.Go(r.accept)
	return r, nil
}

func (r *muteRelay) addr() string { return r.listener.Addr().String() }

func (r *muteRelay) accept() {
	for {
		from, err := r.listener.Accept()
		if err != nil {
			return
		}
		if !r.keep(from) || r.isMuted() {
			continue // it is left open, and nobody answers
		}
		to, err := target{addr: r.target}.dial(context.Background())
		if err != nil {
			from.Close()
			continue
		}
		if r.keep(to) {
			r.running.Go(func() { r.carry(from, to) })
			r.running.Go(func() { r.carry(to, from) })
		}
	}
}

// keep remembers a connection for stop; false: it is closed, for stop has come.
func (r *muteRelay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		c.Close()
		return false
	}
	r.conns = append(r.conns, c)
	return true
}

func (r *muteRelay) isMuted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.muted
}

// carry copies one direction. The end of either side ends both, unless the relay is muted.
func (r *muteRelay) carry(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if r.isMuted() {
			<-r.ended
			return
		}
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			from.Close()
			to.Close()
			return
		}
	}
}

func (r *muteRelay) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.muted = true
}

func (r *muteRelay) stop() {
	r.listener.Close()
	r.mu.Lock()
	r.over = true
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	close(r.ended)
	r.running.Wait()
}
