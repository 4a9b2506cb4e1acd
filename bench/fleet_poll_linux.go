package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller waits for many sockets at once: epoll, level-triggered.
type poller struct {
	fd     int
	events []unix.EpollEvent
	ready  []readiness
	coarse bool // the kernel is older than 5.11 and only waits whole milliseconds
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{fd: fd, events: make([]unix.EpollEvent, 512), ready: make([]readiness, 0, 512)}, nil
}

func (p *poller) close() { _ = unix.Close(p.fd) }

// watch asks for what fd is to be waited for, from now on; a closed one is forgotten by itself.
func (p *poller) watch(fd int, first bool, id, gen int32, write bool) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: id, Pad: gen}
	if write {
		ev.Events |= unix.EPOLLOUT
	}
	op := unix.EPOLL_CTL_MOD
	if first {
		op = unix.EPOLL_CTL_ADD
	}
	return unix.EpollCtl(p.fd, op, fd, &ev)
}

// wait lets d pass, less when something is ready.
func (p *poller) wait(d time.Duration) ([]readiness, error) {
	n, err := p.epoll(max(d, 0))
	p.ready = p.ready[:0]
	if errors.Is(err, unix.EINTR) {
		return p.ready, nil
	}
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	for i := range p.events[:n] {
		ev := &p.events[i]
		p.ready = append(p.ready, readiness{id: ev.Fd, gen: ev.Pad, write: ev.Events&unix.EPOLLOUT != 0, read: ev.Events&^unix.EPOLLOUT != 0})
	}
	return p.ready, nil
}

func (p *poller) epoll(d time.Duration) (int, error) {
	if !p.coarse {
		ts := unix.NsecToTimespec(int64(d))
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
			uintptr(len(p.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.ENOSYS {
			return 0, errno
		}
		p.coarse = true
	}
	return unix.EpollWait(p.fd, p.events, int((d+time.Millisecond-1)/time.Millisecond))
}

// openSocket begins to connect to target, from source unless that is nil.
func openSocket(target, source *net.TCPAddr) (int, error) {
	family := unix.AF_INET6
	if target.IP.To4() != nil {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if source != nil {
		// The port is chosen when the target is known: then each source address has all of them for each target.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		err = unix.Bind(fd, sockaddr(source))
	}
	if err == nil {
		if err = unix.Connect(fd, sockaddr(target)); err == unix.EINPROGRESS {
			err = nil
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

func sockaddr(a *net.TCPAddr) unix.Sockaddr {
	if ip := a.IP.To4(); ip != nil {
		return &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}
	}
	return &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
}

// cores is which core servers and generator have, and how this process was before.
type cores struct {
	server, own int
	before      unix.CPUSet
}

// splitCores gives the servers one core of those that this process may use, and this process another one.
func splitCores() (*cores, error) {
	c := &cores{server: -1, own: -1}
	if err := unix.SchedGetaffinity(0, &c.before); err != nil {
		return nil, fmt.Errorf("read which cores this process may use: %w", err)
	}
	for core := range 8 * int(unsafe.Sizeof(c.before)) {
		switch {
		case !c.before.IsSet(core):
		case c.server < 0:
			c.server = core
		case c.own < 0:
			c.own = core
		}
	}
	if c.own < 0 {
		return nil, fmt.Errorf("this process may use %d core and the fleet needs two, one for the server and one for itself; allow it more (taskset)", c.before.Count())
	}
	return c, c.pin(only(c.own))
}

func only(core int) *unix.CPUSet {
	var set unix.CPUSet
	set.Set(core)
	return &set
}

// pin lets all threads of this process run on the given cores only. Threads that come later inherit it.
func (c *cores) pin(set *unix.CPUSet) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list the threads of this process: %w", err)
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(tid, set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("keep this process on one core: %w", err)
		}
	}
	return nil
}

func (c *cores) release() { _ = c.pin(&c.before) }

// start runs f, which starts a server, on the server's core: the server inherits it, and sees only that one from its start.
func (c *cores) start(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedSetaffinity(0, only(c.server)); err != nil {
		return fmt.Errorf("keep the server on core %d: %w", c.server, err)
	}
	err := f()
	if back := unix.SchedSetaffinity(0, only(c.own)); err == nil && back != nil {
		err = fmt.Errorf("keep this process on core %d: %w", c.own, back)
	}
	return err
}

// raiseFileLimit lets this process, and the servers that it starts, open as many files as its hard limit says, and
// returns that. Go would start them with the lower soft limit.
func raiseFileLimit() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("raise the limit of open files to %d: %w", limit.Max, err)
	}
	return int(min(limit.Max, 1<<20)), nil
}
