package rpc

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// pollerEvents is how many connections are woken by one system call.
const pollerEvents = 256

// poller waits for the bytes of all parked connections in one epoll set, which Go's own poller waits for like for a file.
// A connection is told once and must be parked again.
type poller struct {
	server *Server
	file   *os.File
	raw    syscall.RawConn

	looking sync.Mutex // held by who looks, beside run
	looked  *waking
}

// waking is room to wake connections.
type waking struct {
	events [pollerEvents]unix.EpollEvent
	conns  [pollerEvents]*Conn
}

func newPoller(s *Server) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os.File hands it to Go's poller
		return nil, errors.Join(err, unix.Close(fd))
	}
	p := &poller{server: s, file: os.NewFile(uintptr(fd), "epoll"), looked: new(waking)}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	return p, nil
}

func (p *poller) close() { _ = p.file.Close() }

// wait tells of the next byte of c, or of its end: at once if it is there already.
func (p *poller) wait(c *Conn) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(uint32(c.id)), Pad: int32(c.id >> 32)}
	var err error
	// Both descriptors are held meanwhile, or their numbers might belong to somebody else.
	outer := p.raw.Control(func(set uintptr) {
		inner := c.wire.raw.Control(func(fd uintptr) {
			err = unix.EpollCtl(int(set), unix.EPOLL_CTL_MOD, int(fd), &ev)
			if errors.Is(err, unix.ENOENT) { // for the first time
				err = unix.EpollCtl(int(set), unix.EPOLL_CTL_ADD, int(fd), &ev)
			}
		})
		err = errors.Join(err, inner)
	})
	return errors.Join(err, outer)
}

// run wakes connections until the poller is closed.
func (p *poller) run() {
	w := new(waking)
	_ = p.raw.Read(func(fd uintptr) bool {
		for p.wake(int(fd), w) {
		}
		return false
	})
}

// look wakes connections as run does, at once, unless somebody else looks.
func (p *poller) look() {
	if !p.looking.TryLock() {
		return
	}
	defer p.looking.Unlock()
	_ = p.raw.Control(func(fd uintptr) { p.wake(int(fd), p.looked) })
}

// wake wakes what has bytes now; false: nothing has.
func (p *poller) wake(set int, w *waking) bool {
	n, err := unix.EpollWait(set, w.events[:], 0)
	if err != nil && !errors.Is(err, unix.EINTR) || n == 0 {
		return false
	}
	at := p.server.cfg.Clock() // before any of them waits for its turn
	for _, c := range p.server.byID(w.conns[:0], w.events[:max(n, 0)]) {
		c.wake(at)
	}
	return true
}

// byID appends the connections that the events are of. Numbers are never given twice, descriptors are.
func (s *Server) byID(to []*Conn, events []unix.EpollEvent) []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range events {
		if c := s.conns[uint64(uint32(ev.Fd))|uint64(uint32(ev.Pad))<<32]; c != nil {
			to = append(to, c)
		}
	}
	return to
}
