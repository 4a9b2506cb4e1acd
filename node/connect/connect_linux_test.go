package connect

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What firewalls, dead hosts and links that are down make of a try is proven in test/netns.

func TestMain(m *testing.M) { kit.MainWithoutLeaks(m) }

func listen(t *testing.T, network, addr string) (*net.TCPListener, netip.AddrPort) {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener), netip.MustParseAddrPort(l.Addr().String())
}

func want(t *testing.T, r Result, o Outcome) {
	t.Helper()
	if r.Outcome != o {
		t.Errorf("%v, %v; want %v", r.Outcome, r.Err, o)
	}
}

// TestAnswered: whoever listens sees a connection that ends well, and not a byte. A reset would make brokers log a stack trace.
func TestAnswered(t *testing.T) {
	for network, addr := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		t.Run(network, func(t *testing.T) {
			l, at := listen(t, network, addr)
			got := make(chan error, 1)
			go func() {
				c, err := l.Accept()
				if err == nil {
					var n int
					if n, err = c.Read(make([]byte, 1)); n > 0 {
						err = errors.New("a byte was sent")
					}
					c.Close()
				}
				got <- err
			}()
			want(t, New(1).Try(t.Context(), at), Answered)
			if err := <-got; !errors.Is(err, io.EOF) {
				t.Errorf("the listener reads %v, want the end", err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for network, addr := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		t.Run(network, func(t *testing.T) {
			l, at := listen(t, network, addr)
			l.Close()
			r := New(1).Try(t.Context(), at)
			want(t, r, Refused)
			if !errors.Is(r.Err, syscall.ECONNREFUSED) || !r.Life() {
				t.Errorf("%v, life %v", r.Err, r.Life())
			}
		})
	}
}

// full is a listener whose queue is full: its kernel says nothing to whoever comes.
func full(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	kit.Must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	kit.Must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0))
	name, err := unix.Getsockname(fd)
	kit.Must(t, err)
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*unix.SockaddrInet4).Port))
	for range 8 {
		c, err := net.DialTimeout("tcp4", at.String(), 100*time.Millisecond)
		if err != nil {
			return at
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue is not full")
	return at
}

func TestUnanswered(t *testing.T) {
	at := full(t)
	d := New(1)
	d.wait = 50 * time.Millisecond
	r := d.Try(t.Context(), at)
	want(t, r, Unanswered)
	if r.Life() {
		t.Error("life")
	}
}

// TestFailed: what this machine cannot do says nothing about the host.
func TestFailed(t *testing.T) {
	t.Run("nobody can connect there", func(t *testing.T) {
		for _, at := range []string{"255.255.255.255:1", "224.0.0.1:1", "[ff02::1]:1"} {
			want(t, New(1).Try(t.Context(), netip.MustParseAddrPort(at)), Failed)
		}
	})
	t.Run("too many", func(t *testing.T) {
		at := full(t)
		d := New(1)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan Result, 1)
		go func() { done <- d.Try(ctx, at) }()
		kit.Until(t, "the first is under way", func() bool { return len(d.slots) == 1 })
		r := d.Try(ctx, at)
		want(t, r, Failed)
		if !errors.Is(r.Err, ErrBusy) {
			t.Error(r.Err)
		}
		stop()
		want(t, <-done, Failed) // given up by the caller, whatever the host would have said
		want(t, d.Try(t.Context(), netip.MustParseAddrPort("224.0.0.1:1")), Failed)
		if len(d.slots) != 0 {
			t.Error("places are not given back")
		}
	})
	t.Run("no descriptor", func(t *testing.T) {
		for _, errno := range []syscall.Errno{
			unix.EMFILE, unix.ENFILE, unix.EADDRNOTAVAIL, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL, unix.EPERM, unix.ENOBUFS,
		} {
			err := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errno)}
			if got := outcomeOf(err, false, false); got != Failed {
				t.Errorf("%v: %v", errno, got)
			}
		}
	})
}

// TestCanary: who completes or resets a connection answers, a fault of this machine does not.
func TestCanary(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1") // whether something listens at that port or not, it answers
	nobody := netip.MustParseAddr("224.0.0.1")
	d := New(1)
	if a, any := d.Canary(t.Context(), []netip.Addr{nobody}); any {
		t.Errorf("%v answers", a)
	}
	if a, any := d.Canary(t.Context(), []netip.Addr{nobody, loopback}); !any || a != loopback {
		t.Errorf("%v answers: %v", a, any)
	}
}

// TestNothingIsLeft counts descriptors.
func TestNothingIsLeft(t *testing.T) {
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		kit.Must(t, err)
		return len(all)
	}
	l, at := listen(t, "tcp4", "127.0.0.1:0")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	closed, nobody := listen(t, "tcp4", "127.0.0.1:0")
	closed.Close()
	silent := full(t)
	d := New(1)
	d.wait = time.Millisecond
	before := open()
	for range 50 {
		d.Try(t.Context(), nobody)
		d.Try(t.Context(), at)
		d.Try(t.Context(), silent)
		d.Try(t.Context(), netip.MustParseAddrPort("224.0.0.1:1"))
	}
	kit.Until(t, "no descriptor more", func() bool { return open() <= before+1 }) // one may be the listener's, which closes it in a moment
}

func TestSince58(t *testing.T) {
	for release, want := range map[string]bool{
		"5.8.0": true, "5.8-rc1": true, "6.18.44-fc-v782": true, "5.10.0-28-amd64": true, "10.0": true,
		"5.7.19": false, "4.18.0-553.el8": false, "3.10": false, "": false, "x.y": false,
	} {
		if got := since58(release); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}
