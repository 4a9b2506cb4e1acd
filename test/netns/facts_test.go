//go:build linux

package netns

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// The facts about tcpi_bytes_acked that proofs of life rest on, on sockets of two hosts whose path can be stalled in
// either direction. What loopback can show of them, and what the server makes of them, is tested in remoting/rpc.

// line is an accepted connection and its peer on another host.
type line struct {
	t            *testing.T
	here, there  *host
	served, peer *net.TCPConn
}

func newLine(t *testing.T) *line {
	t.Helper()
	n := newNetwork(t)
	l := &line{t: t, here: n.host("server"), there: n.host("broker")}
	var listener net.Listener
	var err error
	l.here.within(func() { listener, err = net.Listen("tcp4", net.JoinHostPort(l.here.IP, servePort)) })
	kit.Must(t, err)
	defer listener.Close()
	peer, err := l.there.dial(listener.Addr().String(), kit.Patience)
	kit.Must(t, err)
	served, err := listener.Accept()
	kit.Must(t, err)
	l.peer, l.served = peer.(*net.TCPConn), served.(*net.TCPConn)
	t.Cleanup(func() { l.peer.Close(); l.served.Close() })
	return l
}

func (l *line) info() unix.TCPInfo {
	l.t.Helper()
	raw, err := l.served.SyscallConn()
	kit.Must(l.t, err)
	var info *unix.TCPInfo
	var failed error
	kit.Must(l.t, raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) }), failed)
	return *info
}

// acked waits until exactly n bytes are acknowledged.
func (l *line) acked(n uint64) {
	l.t.Helper()
	kit.Await(l.t, kit.Patience, fmt.Sprintf("%d bytes acknowledged", n), func() error {
		if got := l.info().Bytes_acked; got != n {
			return fmt.Errorf("%d are", got)
		}
		return nil
	})
}

// write sends n bytes.
func (l *line) write(n int) {
	l.t.Helper()
	_, err := l.served.Write(make([]byte, n))
	kit.Must(l.t, err)
}

func (l *line) read(n int) {
	l.t.Helper()
	_, err := io.ReadFull(l.peer, make([]byte, n))
	kit.Must(l.t, err)
}

// unanswered waits until the kernel has sent again what nobody acknowledges.
func (l *line) unanswered() {
	l.t.Helper()
	kit.Await(l.t, kit.Patience, "the kernel sends again", func() error {
		if got := l.info(); got.Total_retrans < 2 {
			return fmt.Errorf("%d segments sent again", got.Total_retrans)
		}
		return nil
	})
}

// torn waits until the server's kernel knows the connection is broken.
func (l *line) torn() {
	l.t.Helper()
	l.served.SetReadDeadline(time.Now().Add(kit.Patience))
	if _, err := io.Copy(io.Discard, l.served); !errors.Is(err, syscall.ECONNRESET) {
		l.t.Fatalf("read until reset: %v", err)
	}
}

// refused waits for the reset that a write into a closed socket draws.
func (l *line) refused() {
	l.t.Helper()
	kit.Await(l.t, kit.Patience, "reset", func() error {
		if _, err := l.served.Write([]byte{0}); err == nil {
			return errors.New("it can still be written")
		}
		return nil
	})
}

func TestFacts(t *testing.T) {
	need(t, 0)
	t.Run("an accepted socket starts at zero and counts exactly", func(t *testing.T) {
		l := newLine(t)
		if n := l.info().Bytes_acked; n != 0 {
			t.Errorf("%d bytes acknowledged at the start", n)
		}
		total := uint64(0)
		for _, n := range []int{1, 7, 100000} {
			l.write(n)
			l.read(n)
			total += uint64(n)
			l.acked(total)
		}
	})
	t.Run("nothing is acknowledged while what was written is on its way", func(t *testing.T) {
		l := newLine(t)
		l.write(10)
		l.acked(10)
		stall := l.there.drop(l.here)
		l.write(5)
		l.unanswered()
		if n := l.info().Bytes_acked; n != 10 {
			t.Errorf("%d bytes acknowledged by a peer that got 10", n)
		}
		stall.heal()
		l.acked(15)
	})
	t.Run("nor while the acknowledgement is", func(t *testing.T) {
		l := newLine(t)
		stall := l.here.drop(l.there)
		l.write(5)
		l.read(5) // it is there
		l.unanswered()
		if n := l.info().Bytes_acked; n != 0 {
			t.Errorf("%d bytes acknowledged, though no acknowledgement came", n)
		}
		stall.heal()
		l.acked(5)
	})
	t.Run("a reset acknowledges nothing, and unacked is 0 after it", func(t *testing.T) {
		l := newLine(t)
		l.write(10)
		l.acked(10)
		stall := l.there.drop(l.here)
		l.write(5)
		l.peer.SetLinger(0)
		l.peer.Close() // RST, while the 5 bytes are on their way
		l.torn()
		info := l.info()
		stall.heal()
		if info.Bytes_acked != 10 {
			t.Errorf("%d bytes acknowledged by a peer that got 10", info.Bytes_acked)
		}
		if info.Unacked != 0 {
			t.Errorf("unacked is %d: it would have told what bytes_acked tells", info.Unacked)
		}
	})
	t.Run("a closed process draws a reset, never an acknowledgement", func(t *testing.T) {
		l := newLine(t)
		l.write(10)
		l.read(10)
		l.acked(10)
		l.peer.Close() // everything was read: FIN
		if _, err := l.served.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("read until FIN: %v", err)
		}
		if n := l.info().Bytes_acked; n != 10 {
			t.Errorf("%d bytes acknowledged after FIN", n)
		}
		l.write(5)
		l.refused()
		if n := l.info().Bytes_acked; n != 10 {
			t.Errorf("%d bytes acknowledged by a process that was gone", n)
		}
	})
	t.Run("a half-closed one still acknowledges", func(t *testing.T) {
		l := newLine(t)
		kit.Must(t, l.peer.CloseWrite())
		if _, err := l.served.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("read until FIN: %v", err)
		}
		l.write(5)
		l.acked(5)
		l.read(5)
	})
	t.Run("below TLS it counts what TLS writes", func(t *testing.T) {
		l := newLine(t)
		counted := &countingConn{Conn: l.served}
		server := tls.Server(counted, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{kit.NewAuthority(t).TLS()}})
		client := tls.Client(l.peer, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // a test's own certificate
		shaken := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(client, make([]byte, 1000))
			shaken <- err
		}()
		_, err := server.Write(make([]byte, 1000))
		kit.Must(t, err, <-shaken)
		if counted.n <= 1000 {
			t.Errorf("TLS wrote %d bytes for 1000", counted.n)
		}
		l.acked(counted.n)
	})
	t.Run("what was written into a stalled path arrives after its process is gone", func(t *testing.T) {
		l := newLine(t)
		stall := l.here.drop(l.there)
		for _, frame := range []string{"register", "unregister"} {
			_, err := l.peer.Write([]byte(frame))
			kit.Must(t, err)
		}
		l.peer.Close()
		closed := time.Now()
		pass(t, 2*time.Second)
		stall.heal()
		got, err := io.ReadAll(l.served)
		if err != nil || string(got) != "registerunregister" {
			t.Fatalf("read %q, %v", got, err)
		}
		figures.took("g. facts of tcpi_bytes_acked", "frames read after the process that wrote them had closed", time.Since(closed))
		l.write(5)
		l.refused()
		if n := l.info().Bytes_acked; n != 0 {
			t.Errorf("%d bytes acknowledged by a process that was gone", n)
		}
	})
}

type countingConn struct {
	net.Conn
	n uint64
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.n += uint64(n)
	return n, err
}
