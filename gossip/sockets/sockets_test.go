package sockets

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/test/kit"
)

var loopback = netip.MustParseAddr("127.0.0.1")

func listen(t *testing.T, ip netip.Addr) *Transport {
	t.Helper()
	s, err := Listen(ip, 0, nil, slog.New(slog.DiscardHandler))
	kit.Must(t, err)
	t.Cleanup(func() { _ = s.Shutdown() })
	return s
}

func (t *Transport) testAddr() string {
	return netip.AddrPortFrom(loopback, uint16(t.Port())).String()
}

func take[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	return v
}

// A packet keeps its bytes when the next one is read into the same buffer.
func TestPacketsKeepTheirBytes(t *testing.T) {
	a, b := listen(t, loopback), listen(t, loopback)
	var sent [][]byte
	for i, size := range []int{1, 1400, 3, 60_000} {
		p := bytes.Repeat([]byte{byte('a' + i)}, size)
		sent = append(sent, p)
		before := time.Now()
		if at, err := a.WriteTo(p, b.testAddr()); err != nil || at.Before(before) {
			t.Fatal(at, err)
		}
	}
	var got []*memberlist.Packet
	for range sent {
		got = append(got, take(t, b.PacketCh()))
	}
	for i, p := range got {
		if !bytes.Equal(p.Buf, sent[i]) || p.From.String() != a.testAddr() || cap(p.Buf) > 2*len(p.Buf)+64 {
			t.Errorf("packet %d: %d bytes of %d from %v, want %d from %v", i, len(p.Buf), cap(p.Buf), p.From, len(sent[i]), a.testAddr())
		}
	}
}

func TestNamesAndEmptyPackets(t *testing.T) {
	a, b := listen(t, loopback), listen(t, loopback)
	_, port, _ := net.SplitHostPort(b.testAddr())
	if at, err := net.ResolveUDPAddr("udp", "localhost:1"); err != nil || !at.IP.Equal(loopback.AsSlice()) {
		t.Skipf("SKIPPED: localhost is not %v on this machine: %v %v", loopback, at, err)
	}
	for _, p := range []string{"", "by name"} {
		if _, err := a.WriteTo([]byte(p), net.JoinHostPort("localhost", port)); err != nil {
			t.Fatal(err)
		}
	}
	if p := take(t, b.PacketCh()); string(p.Buf) != "by name" {
		t.Errorf("%q", p.Buf)
	}
	if _, err := a.WriteTo([]byte("x"), "no port"); err == nil {
		t.Error("sent to an address without a port")
	}
}

func TestStreams(t *testing.T) {
	a, b := listen(t, loopback), listen(t, loopback)
	near, err := a.DialTimeout(b.testAddr(), time.Second)
	kit.Must(t, err)
	far := take(t, b.StreamCh())
	go func() {
		near.Write([]byte("hello"))
		near.Close()
	}()
	if got, err := io.ReadAll(far); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	far.Close()
}

func TestPortTaken(t *testing.T) {
	taken := listen(t, loopback)
	_, err := Listen(loopback, taken.Port(), nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v", err)
	}
	// For UDP alone; the TCP socket must not stay open.
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: loopback.AsSlice()})
	kit.Must(t, err)
	port := udp.LocalAddr().(*net.UDPAddr).Port
	_, err = Listen(loopback, port, nil, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("listens at a port that is another one's for UDP")
	}
	if !strings.Contains(err.Error(), "UDP") {
		t.Skipf("SKIPPED: another program has the port of this test's UDP socket for TCP: %v", err)
	}
	udp.Close()
	again, err := Listen(loopback, port, nil, slog.New(slog.DiscardHandler))
	kit.Must(t, err)
	_ = again.Shutdown()
}

func TestAdvertised(t *testing.T) {
	s := listen(t, loopback)
	if ip, port, err := s.FinalAdvertiseAddr("::ffff:10.1.2.3", 77); ip.String() != "10.1.2.3" || len(ip) != 4 || port != 77 || err != nil {
		t.Error(ip, port, err)
	}
	if ip, port, err := s.FinalAdvertiseAddr("", 0); !ip.Equal(loopback.AsSlice()) || port != s.Port() || err != nil {
		t.Error(ip, port, err)
	}
	if _, _, err := s.FinalAdvertiseAddr("here", 77); err == nil {
		t.Error("took a name for an address")
	}
	everywhere := listen(t, netip.IPv4Unspecified())
	if ip, port, err := everywhere.FinalAdvertiseAddr("", 0); err == nil && (ip.IsUnspecified() || port != everywhere.Port()) {
		t.Error(ip, port) // without a private address on this machine it says so
	}
}

// Shutdown ends both readers although nobody takes what they have read, and may come twice.
func TestShutdownWhileNobodyReads(t *testing.T) {
	a, b := listen(t, loopback), listen(t, loopback)
	if _, err := a.WriteTo([]byte("x"), b.testAddr()); err != nil {
		t.Fatal(err)
	}
	conn, err := a.DialTimeout(b.testAddr(), time.Second)
	kit.Must(t, err)
	defer conn.Close()
	kit.Must(t, b.Shutdown())
	kit.Must(t, b.Shutdown())
}

// The stream beyond the limit of a source takes the place of the oldest one, and Shutdown ends all of them.
func TestStreamsAreBounded(t *testing.T) {
	a := listen(t, loopback)
	go func() {
		for range maxEach + 1 {
			<-a.StreamCh()
		}
	}()
	var taken []net.Conn
	for range maxEach + 1 {
		conn, err := net.Dial("tcp", a.testAddr())
		kit.Must(t, err)
		defer conn.Close()
		taken = append(taken, conn)
	}
	closed := func(conn net.Conn, within time.Duration) bool {
		_ = conn.SetReadDeadline(time.Now().Add(within))
		_, err := conn.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	if !closed(taken[0], 10*time.Second) || closed(taken[1], time.Millisecond) || closed(taken[maxEach], time.Millisecond) {
		t.Error("the wrong stream was closed")
	}
	if err := a.Shutdown(); err != nil {
		t.Error(err)
	}
	for i, conn := range taken {
		if !closed(conn, 10*time.Second) {
			t.Fatalf("stream %d outlives its node", i)
		}
	}
}

// A stream that brings too much is ended, and so is one while all together have brought too much; a closed one counts no more.
func TestWhatStreamsBringIsBounded(t *testing.T) {
	a := listen(t, loopback)
	var tooMuch atomic.Int32
	a.KeepRoom(Room{Familiar: func(netip.Addr) bool { return true }, Closed: func(why Reason) {
		if why == TooMuch {
			tooMuch.Add(1)
		}
	}})
	open := func(bytes int) (accepted net.Conn) {
		conn, err := net.Dial("tcp", a.testAddr())
		kit.Must(t, err)
		t.Cleanup(func() { conn.Close() })
		go func() { _, _ = conn.Write(make([]byte, bytes)) }()
		return take(t, a.StreamCh())
	}
	if n, err := io.Copy(io.Discard, open(maxStream+1)); err == nil || n > maxStream+1 {
		t.Errorf("%d bytes read of one stream: %v", n, err)
	}
	for _, s := range a.streamsWhere(func(*stream) bool { return true }) {
		_ = s.Close()
	}
	fill := func() (full []net.Conn) {
		for range maxUnread / maxStream {
			s := open(maxStream)
			if _, err := io.ReadFull(s, make([]byte, maxStream)); err != nil {
				t.Fatal(err)
			}
			full = append(full, s)
		}
		return full
	}
	full := fill()
	if _, err := open(1).Read(make([]byte, 1)); err != nil {
		t.Errorf("one that brings little pays for those that brought much: %v", err)
	}
	if n := len(a.streamsWhere(func(s *stream) bool { return s.read == maxStream })); n != len(full)-1 {
		t.Errorf("%d of %d streams that brought much are left", n, len(full))
	}
	for _, s := range a.streamsWhere(func(*stream) bool { return true }) {
		_ = s.Close()
		_ = s.Close() // must not count twice
	}
	for _, s := range fill() {
		s.(*stream).Vouch()
	}
	if _, err := open(1).Read(make([]byte, 1)); !errors.Is(err, errTooMuch) {
		t.Errorf("no limit for all streams together: %v", err)
	}
	if n := tooMuch.Load(); n != 2 {
		t.Errorf("%d streams ended for what they brought together", n)
	}
}
