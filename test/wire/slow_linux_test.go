package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestRow043SlowReader(t *testing.T) {
	s := own(t, options{})
	c := s.dial(t)
	b := newBroker("r43")
	for i := range 200 { // an answer of nearly 20 kB
		b.topics = append(b.topics, rw(fmt.Sprintf("%s-%s-%d", b.name, strings.Repeat("x", 80), i)))
	}
	c.register(b)
	slow := s.dial(t)
	slow.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	request := kit.JSONFrame(`{"code":206,"opaque":43}`)
	const first = 500 // nearly 10 MB of answers: more than the sockets hold
	// What comes before Java stands still it reads to the last byte, and a JVM of a busy machine may only pause.
	for range 3 {
		slow.Put(bytes.Repeat(request, first))
		standsStill(t, slow)
	}
	batch := bytes.Repeat(request, 1000)
	sent := 0
	for {
		slow.SetWriteDeadline(time.Now().Add(1500 * time.Millisecond))
		n, err := slow.Conn.Write(batch)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil || sent > 128<<20 {
			t.Fatalf("after %d bytes of requests: %v; want a server that stops reading", sent, err)
		}
	}
	t.Logf("the server stopped reading after %d requests", sent/len(request))
	c.Usable() // others are served
	for range first {
		if a := slow.Next(); a.Code != 0 || len(a.Body) < 15000 {
			t.Fatal(a)
		}
	}
}

// standsStill waits until a connection that nobody reads has bytes waiting and gets no more.
func standsStill(t *testing.T, c *client) {
	t.Helper()
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	kit.Must(t, err)
	last, since := 0, time.Now()
	eventually(t, kit.Patience, func() error {
		waiting := 0
		if err := raw.Control(func(fd uintptr) { waiting, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil {
			return err
		}
		if waiting != last {
			last, since = waiting, time.Now()
		}
		if last == 0 || time.Since(since) < 500*time.Millisecond {
			return fmt.Errorf("%d bytes waiting, for %s", last, time.Since(since))
		}
		return nil
	})
}
