package kit

import (
	"bufio"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// keptBody bounds what a relay keeps of one body; an exchange says how long it was.
const keptBody = 1 << 20

// Exchange is one request and its answer as they passed a relay. Answer is nil and Took 0 while there is none.
type Exchange struct {
	Request, Answer *Answer
	Size            int // of the request's body, in bytes
	At              time.Time
	Took            time.Duration

	from net.Conn
}

// Relay stands in front of a NameServer and writes down what passes.
type Relay struct {
	Addr string

	mu   sync.Mutex
	seen []*Exchange
}

// StartRelay relays frames to target until t ends.
func StartRelay(t testing.TB, target string) *Relay {
	t.Helper()
	r := &Relay{}
	r.Addr = Forward(t, target, func(server, client net.Conn, back bool) {
		if back {
			_ = carry(client, server, func(f *Answer, _ int) { r.answered(client, f) })
		} else {
			_ = carry(server, client, func(f *Answer, size int) { r.asked(client, f, size) })
		}
	})
	return r
}

// Bytes carries one direction of a connection as it is, for Forward.
func Bytes(server, client net.Conn, back bool) {
	if back {
		server, client = client, server
	}
	_, _ = io.Copy(server, client)
}

// Forward passes on TCP connections (and no UDP) to target until t ends, each direction by carry; the end of either
// ends both, as without a relay. It returns its address.
func Forward(t testing.TB, target string, carry func(server, client net.Conn, back bool)) string {
	t.Helper()
	return Listen(t, func(client net.Conn) {
		server, err := net.DialTimeout("tcp", target, Patience)
		if err != nil {
			return
		}
		var both sync.WaitGroup
		for _, back := range []bool{false, true} {
			both.Go(func() {
				defer server.Close()
				defer client.Close()
				carry(server, client, back)
			})
		}
		both.Wait()
	})
}

// Listen serves every connection to a free port of loopback until t ends, which closes them and waits. It returns the
// port's address.
func Listen(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	ended := false
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if open[c] = true; ended {
				c.Close()
			}
			mu.Unlock()
			running.Go(func() {
				serve(c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		ended = true
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// carry copies whole frames and shows each before it goes on, without a large body.
func carry(to io.Writer, from io.Reader, show func(f *Answer, size int)) error {
	in := bufio.NewReader(from)
	for {
		f, err := ReadFrame(in)
		if err != nil {
			return err
		}
		raw, shown := f.Raw(), *f
		if len(f.Body) > keptBody {
			shown.Body = nil
		}
		show(&shown, len(f.Body))
		if _, err := to.Write(raw); err != nil {
			return err
		}
	}
}

func (r *Relay) asked(from net.Conn, f *Answer, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, &Exchange{Request: f, Size: size, At: time.Now(), from: from})
}

func (r *Relay) answered(to net.Conn, f *Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.seen {
		if e.from == to && e.Answer == nil && e.Request.Opaque == f.Opaque {
			e.Answer, e.Took = f, time.Since(e.At)
			return
		}
	}
}

// Take returns what has passed since the last Take. An answer that comes later is lost.
func (r *Relay) Take() []Exchange {
	list := r.Seen(-1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = slices.Delete(r.seen, 0, len(list))
	return list
}

// Seen is what has passed since the last Take with requests of a code, of all for -1.
func (r *Relay) Seen(code int) (list []Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.seen {
		if code == -1 || e.Request.Code == code {
			list = append(list, *e)
		}
	}
	return list
}
