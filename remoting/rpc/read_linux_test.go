package rpc

import (
	"errors"
	"net"
	"os"
	"regexp"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// reads is how many calls of read(2) this process has made.
func reads(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("SKIPPED, not proven on this machine: its kernel counts no system calls: ", err)
	}
	n, err := strconv.Atoi(string(regexp.MustCompile(`syscr: (\d+)`).FindSubmatch(text)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOneReadForEachRequest where a peer waits for each answer: none more, which would find nothing. The peer blocks in its own.
func TestOneReadForEachRequest(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: s.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	const n = 2000
	answer, before := make([]byte, 1<<10), reads(t)
	for i := range n {
		if _, err := unix.Write(fd, request(206, i, 0, "")); err != nil {
			t.Fatal(err)
		}
		if got, err := unix.Read(fd, answer); err != nil || got == 0 {
			t.Fatal(got, err)
		}
	}
	if got := reads(t) - before; got > 2*n+n/2 {
		t.Errorf("%d reads for %d requests and as many answers", got, n)
	}
}

// TestAnEndThatCameWithBytes in one segment is noticed: at once where the connection carries something or has asked for the first time, else
// by the sweeper at the latest.
func TestAnEndThatCameWithBytes(t *testing.T) {
	const peers = 12 // fewer than the pool takes at once
	for name, c := range map[string]struct {
		before, value, sweeper bool
	}{
		"of one that asked once":      {},
		"of one that carries a state": {before: true, value: true},
		"of another":                  {before: true, sweeper: true},
	} {
		t.Run(name, func(t *testing.T) {
			entered, held, closed := make(chan bool), make(chan bool), make(chan *Conn, peers)
			s := start(t, handlerFunc{closed: closed, serve: func(conn *Conn, req *remoting.Request, _ *remoting.Response) {
				if c.value {
					conn.SetValue("state")
				}
				if string(req.Body) == "last" {
					entered <- true
					<-held
				}
			}}, nil)
			for range peers {
				p := dial(t, s)
				if c.before {
					p.Put(request(206, 1, 0, ""))
					p.wantHeader(`"opaque":1,`)
				}
				corked(t, p.Conn.(*net.TCPConn), request(206, 2, 0, "last"))
				<-entered
			}
			if !c.sweeper {
				s.mu.Lock() // it comes no further
				defer s.mu.Unlock()
			}
			close(held)
			kit.Until(t, "all closed", func() bool { return len(closed) == peers })
		})
	}
}

// corked sends b and the end behind it in one segment.
func corked(t *testing.T, c *net.TCPConn, b []byte) {
	raw, err := c.SyscallConn()
	if err == nil {
		outer := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
		err = errors.Join(outer, err)
	}
	if err == nil {
		_, err = c.Write(b)
	}
	if err = errors.Join(err, c.CloseWrite()); err != nil {
		t.Fatal(err)
	}
}
