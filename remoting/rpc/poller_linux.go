package rpc

import (
	"errors"
	"fmt"
	"os"
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
}

func newPoller(s *Server) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os.File hands it to Go's poller
		return nil, errors.Join(err, unix.Close(fd))
	}
	p := &poller{server: s, file: os.NewFile(uintptr(fd), "epoll")}
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
	events := make([]unix.EpollEvent, pollerEvents)
	woken := make([]*Conn, 0, pollerEvents)
	_ = p.raw.Read(func(fd uintptr) bool {
		for {
			n, err := unix.EpollWait(int(fd), events, 0)
			if err != nil && !errors.Is(err, unix.EINTR) || n == 0 {
				return false
			}
			at := p.server.cfg.Clock() // before any of them waits for its turn
			woken = p.server.byID(woken[:0], events[:max(n, 0)])
			for _, c := range woken {
				c.wake(at)
			}
		}
	})
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
