package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// TestServerOutlives is the four kinds of hostile peers, each against a server of its own.
func TestServerOutlives(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: the server is a process of its own, without the race detector; make test has it")
	}
	kinds := []struct {
		name string
		run  func(t *testing.T, s *server)
	}{
		{"idle connections", idleConnections},
		{"half frames", halfFrames},
		{"slow readers", slowReaders},
		{"floods of connects", floodOfConnects},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) { kind.run(t, serve(t)) })
	}
}

// count is n in make hostile, and a tenth of it in make test.
func count(n int) int {
	if os.Getenv("EPITAPH_HOSTILE") != "long" {
		return n / 10
	}
	return n
}

// needDescriptors skips where this process, or the server, may not have so many connections.
func needDescriptors(t *testing.T, n int) {
	t.Helper()
	var limit unix.Rlimit
	kit.Must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Max < uint64(n+200) {
		t.Skipf("SKIPPED: %d file descriptors are needed, and this machine allows a process %d (ulimit -Hn)", n+200, limit.Max)
	}
}

// request is a whole frame of the code, without a body.
func request(code int) []byte { return kit.Request{Code: code, Language: "GO"}.Frame(1) }

// stranger is where hostile peers come from: not from where honest ones do.
const stranger = "127.0.9.1"

// dial connects as a stranger; the end of the connection is a reset, so that no port waits for a minute.
func dial(addr string) (*net.TCPConn, error) { return dialFrom(stranger, addr) }

func dialFrom(source, addr string) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: kit.Patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := nc.(*net.TCPConn)
	return c, c.SetLinger(0)
}

// dialMany opens n connections and lets each do something first; they are closed when t ends.
func dialMany(t *testing.T, addr string, n int, first func(c *net.TCPConn) error) []*net.TCPConn {
	t.Helper()
	conns := make([]*net.TCPConn, n)
	t.Cleanup(func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	})
	var group errgroup.Group
	group.SetLimit(16)
	for i := range conns {
		group.Go(func() (err error) {
			if conns[i], err = dial(addr); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			if err := first(conns[i]); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			return nil
		})
	}
	kit.Must(t, group.Wait())
	return conns
}

// answered asks once and reads the answer.
func answered(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(kit.Patience)); err != nil {
		return err
	}
	if _, err := c.Write(request(106)); err != nil {
		return err
	}
	if _, err := kit.ReadFrame(c); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}

// idleConnections: each was served once and then says nothing more.
func idleConnections(t *testing.T, s *server) {
	n := count(10_000)
	needDescriptors(t, n)
	before := s.memory(t)
	begin := time.Now()
	dialMany(t, s.Addr, n, func(c *net.TCPConn) error { return answered(c) })
	took := time.Since(begin)
	s.stillServes(t)
	after := s.memory(t)
	t.Logf("%d idle connections, opened and served once in %s: %.1f MB before, %.1f MB now, %d bytes each; others waited %s at most",
		n, took.Round(time.Millisecond), before.mb(), after.mb(), int(after.rss-before.rss)/n, s.longest())
	if per := (after.rss - before.rss) / int64(n); per > 16<<10 {
		t.Errorf("an idle connection costs %d bytes, want 16 KiB at most", per)
	}
}

// halfFrames: each announces the largest frame there is, sends half of it, and waits.
func halfFrames(t *testing.T, s *server) {
	if os.Getenv("EPITAPH_HOSTILE") != "long" {
		t.Skip("SKIPPED: takes a minute and 600 MB; make night-hostile has it (TestHalfFramesAreBounded is the small form)")
	}
	n := count(2000)
	needDescriptors(t, n)
	const largest = 16777212
	half := make([]byte, 4+largest/2)
	binary.BigEndian.PutUint32(half, largest)
	copy(half[4:], request(318)[4:])
	before := s.memory(t)
	begin := time.Now()
	conns := dialMany(t, s.Addr, n, func(c *net.TCPConn) error { return c.SetWriteBuffer(64 << 10) })
	var held, closed atomic.Int64
	var group errgroup.Group
	for _, c := range conns {
		group.Go(func() error {
			if err := c.SetWriteDeadline(time.Now().Add(3 * kit.Patience)); err != nil {
				return err
			}
			if _, err := c.Write(half); err != nil {
				closed.Add(1)
				if kit.IsTimeout(err) {
					return fmt.Errorf("a half frame was neither taken nor refused: %w", err)
				}
				return nil
			}
			held.Add(1)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	s.stillServes(t)
	most := s.memory(t)
	t.Logf("%d connections, half of a 16 MB frame each: %d were taken in, %d closed for want of memory, in %s; %.1f MB before, %.1f MB at most; others waited %s at most",
		n, held.Load(), closed.Load(), time.Since(begin).Round(time.Millisecond), before.mb(), float64(most.peak)/1e6, s.longest())
	// A budget of 256 MiB for large frames, 64 KiB for each connection beside it, and what the garbage collector lets stand.
	if most.peak > 900<<20 {
		t.Errorf("%d bytes at the most", most.peak)
	}
	if held.Load() == int64(n) && n > 100 {
		t.Error("all of them were taken in: where is the budget?")
	}
	for _, c := range conns {
		c.Close()
	}
	// The memory is there again for an honest large frame.
	whole, err := dial(s.Addr)
	kit.Must(t, err)
	defer whole.Close()
	frame := append(request(100), make([]byte, largest+4-len(request(100)))...)
	binary.BigEndian.PutUint32(frame, largest)
	kit.Await(t, kit.Patience, "a whole frame of 16 MB is served", func() error {
		if _, err := whole.Write(frame); err != nil {
			whole.Close()
			if whole, err = dial(s.Addr); err != nil {
				return err
			}
			return fmt.Errorf("closed: %w", err)
		}
		return answered(whole)
	})
}

// slowReaders pipeline requests whose answers are large and read none of them.
func slowReaders(t *testing.T, s *server) {
	n := count(500)
	needDescriptors(t, n)
	s.fill(t)
	before := s.memory(t)
	batch := bytes.Repeat(request(206), 5000)
	conns := dialMany(t, s.Addr, n, func(c *net.TCPConn) error {
		if err := c.SetReadBuffer(16 << 10); err != nil {
			return err
		}
		return c.SetWriteBuffer(16 << 10)
	})
	var stuck atomic.Int64
	var group errgroup.Group
	for _, c := range conns {
		group.Go(func() error {
			for range 4 { // 20,000 requests, answers of 4 GB
				if err := c.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
					return err
				}
				if _, err := c.Write(batch); err != nil {
					if kit.IsTimeout(err) {
						stuck.Add(1)
						return nil
					}
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	s.stillServes(t)
	after := s.memory(t)
	t.Logf("%d connections that ask and do not read, answers of %d kB: %d are not read from any more; %.1f MB before, %.1f MB at most; others waited %s at most",
		n, s.answer/1000, stuck.Load(), before.mb(), float64(after.peak)/1e6, s.longest())
	if stuck.Load() == 0 {
		t.Error("the server read everything")
	}
	if grown := (after.peak - before.peak) / int64(n); grown > 1<<20 {
		t.Errorf("a slow reader costs %d bytes", grown)
	}
}

// floodOfConnects: connections come and go as fast as they can, some with a request, some with nonsense, some silent.
func floodOfConnects(t *testing.T, s *server) {
	n := count(20_000)
	before := s.memory(t)
	begin := time.Now()
	var next atomic.Int64
	var group errgroup.Group
	for range 16 {
		group.Go(func() error {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				c, err := dial(s.Addr)
				if err != nil {
					return fmt.Errorf("connection %d: %w", i, err)
				}
				switch i % 4 {
				case 1:
					err = answered(c)
				case 2:
					_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
				case 3:
					_, _ = c.Write(binary.BigEndian.AppendUint32(nil, math.MaxInt32))
				}
				c.Close()
				if err != nil {
					return fmt.Errorf("connection %d: %w", i, err)
				}
			}
			return nil
		})
	}
	kit.Must(t, group.Wait())
	took := time.Since(begin)
	s.stillServes(t)
	after := s.memory(t)
	t.Logf("%d connects in %s (%.0f a second): %.1f MB before, %.1f MB at most; others waited %s at most",
		n, took.Round(time.Millisecond), float64(n)/took.Seconds(), before.mb(), float64(after.peak)/1e6, s.longest())
	if after.peak > before.peak+100<<20 {
		t.Errorf("the flood made the server grow from %d to %d bytes", before.peak, after.peak)
	}
	kit.Await(t, kit.Patience, "no connection of the flood is left", func() error {
		if open := s.descriptors(t); open > 40 {
			return fmt.Errorf("%d file descriptors", open)
		}
		return nil
	})
}
