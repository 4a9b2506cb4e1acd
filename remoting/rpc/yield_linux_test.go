package rpc

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/remoting"
)

// Whoever works for long, by one request or by many, wakes those of whose bytes nobody else has heard.
func TestWorkWakesTheParked(t *testing.T) {
	for name, work := range map[string]struct{ code, requests int }{
		"a window of short requests": {aRoute, window},
		"a long request":             {aList, 1},
		"a handler that yields":      {aSign, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var s *Server
			s = start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, _ *remoting.Response) {
				if req.Code == aSign {
					s.Yield()
				}
			}}, classed)
			p := dial(t, s)
			c := only(t, s)
			untilParked(t, c)
			worker := dial(t, s)
			worker.Put(request(aRoute, 1, 0, ""))
			worker.wantHeader(`"opaque":1,`)
			// p goes to a set that nobody waits for.
			if !c.state.CompareAndSwap(parked, active) {
				t.Fatal("woken by nobody")
			}
			_ = s.poller.raw.Control(func(set uintptr) {
				_ = c.wire.raw.Control(func(fd uintptr) { _ = unix.EpollCtl(int(set), unix.EPOLL_CTL_DEL, int(fd), nil) })
			})
			blind, err := newPoller(s)
			if err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			t.Cleanup(s.poller.close)
			s.poller = blind
			s.mu.Unlock()
			if !c.park() {
				t.Fatal("not parked")
			}
			p.Put(request(aRoute, 2, 0, ""))
			worker.Put(bytes.Repeat(request(work.code, 3, 0, ""), work.requests))
			p.wantHeader(`"opaque":2,`)
		})
	}
}
