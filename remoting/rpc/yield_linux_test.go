package rpc

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Whoever works for long, by one request or by many, wakes those of whose bytes nobody else has heard.
func TestWorkWakesTheParked(t *testing.T) {
	for name, work := range map[string]struct{ code, requests int }{
		"a window of short requests": {aRoute, window},
		"a long request":             {aList, 1},
		"a handler that yields":      {aSign, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				s     *Server
				blind *poller // nobody waits for it
				once  sync.Once
			)
			s = start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, _ *remoting.Response) {
				if req.Opaque == 3 {
					once.Do(func() { // here, for the worker looks at it
						s.mu.Lock()
						defer s.mu.Unlock()
						t.Cleanup(s.poller.close)
						s.poller = blind
						s.looked.Store(int64(time.Since(s.began) - lookEvery)) // however little time this takes
					})
				}
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
			_ = s.poller.raw.Control(func(set uintptr) {
				_ = c.wire.raw.Control(func(fd uintptr) { _ = unix.EpollCtl(int(set), unix.EPOLL_CTL_DEL, int(fd), nil) })
			})
			var err error
			if blind, err = newPoller(s); err == nil {
				err = blind.wait(c)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.Put(request(aRoute, 2, 0, ""))
			kit.Until(t, "the bytes to be there", func() (there bool) { // on a busy machine the kernel carries them over later
				_ = c.wire.raw.Control(func(fd uintptr) {
					n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
					there = err == nil && n > 0
				})
				return there
			})
			worker.Put(bytes.Repeat(request(work.code, 3, 0, ""), work.requests))
			p.wantHeader(`"opaque":2,`)
		})
	}
}
