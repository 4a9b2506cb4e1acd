package interop

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// recorder is a relay in front of a name server that writes down the requests that pass.
type recorder struct {
	Addr   string
	target string

	mu    sync.Mutex
	seen  []recorded
	conns map[net.Conn]bool
}

// recorded is one request and how long its answer took; zero while there is none.
type recorded struct {
	Code, Opaque int
	BodyLen      int
	At           time.Time
	Took         time.Duration
	from         net.Conn
}

// startRecorder relays connections to target until t ends.
func startRecorder(t *testing.T, target string) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Addr: l.Addr().String(), target: target, conns: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { r.relay(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		running.Wait()
	})
	return r
}

// relay carries both directions; the end of either side ends both, as without a relay.
func (r *recorder) relay(client net.Conn) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", r.target, time.Minute)
	if err != nil {
		return
	}
	defer server.Close()
	for _, c := range []net.Conn{client, server} {
		r.keep(c, true)
		defer r.keep(c, false)
	}
	var both sync.WaitGroup
	both.Go(func() {
		defer server.Close()
		_ = copyFrames(server, client, func(head frameHead, body int) { r.request(client, head, body) })
	})
	both.Go(func() {
		defer client.Close()
		_ = copyFrames(client, server, func(head frameHead, _ int) { r.response(client, head) })
	})
	both.Wait()
}

func (r *recorder) keep(c net.Conn, open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if open {
		r.conns[c] = true
	} else {
		delete(r.conns, c)
	}
}

func (r *recorder) request(from net.Conn, h frameHead, body int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, recorded{Code: h.Code, Opaque: h.Opaque, BodyLen: body, At: time.Now(), from: from})
}

func (r *recorder) response(to net.Conn, h frameHead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.seen {
		if s := &r.seen[i]; s.from == to && s.Opaque == h.Opaque && s.Took == 0 {
			s.Took = time.Since(s.At)
			return
		}
	}
}

// requests are the requests of one code so far.
func (r *recorder) requests(code int) []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []recorded
	for _, s := range r.seen {
		if s.Code == code {
			list = append(list, s)
		}
	}
	return list
}

// frameHead is what the recorder reads of a JSON header; brokers use no other unless told so.
type frameHead struct {
	Code   int `json:"code"`
	Opaque int `json:"opaque"`
}

// copyFrames copies whole frames and shows each header before it goes on.
func copyFrames(to io.Writer, from io.Reader, show func(head frameHead, body int)) error {
	in := bufio.NewReader(from)
	for {
		var lengths [8]byte
		if _, err := io.ReadFull(in, lengths[:]); err != nil {
			return err
		}
		total, head := binary.BigEndian.Uint32(lengths[:4]), binary.BigEndian.Uint32(lengths[4:])&0xffffff
		if total < 4+head || total > 1<<26 {
			return fmt.Errorf("frame of %d bytes with a header of %d", total, head)
		}
		frame := make([]byte, 4+total)
		copy(frame, lengths[:])
		if _, err := io.ReadFull(in, frame[8:]); err != nil {
			return err
		}
		var h frameHead
		if err := json.Unmarshal(frame[8:8+head], &h); err != nil {
			return fmt.Errorf("decode header: %w", err)
		}
		show(h, int(total-4-head))
		if _, err := to.Write(frame); err != nil {
			return err
		}
	}
}
