package sockets

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Whoever reaches the port may open streams and say nothing, or much and never the end. What others may take of the room
// leaves some to those that have a place in the cluster; and of those that have shown nothing yet the one that has moved
// least lately makes place for the next one, so that whoever comes to say something gets through.
const (
	// maxAccepted bounds streams taken at once; memberlist answers at most so many push/pulls at once itself.
	maxAccepted = 128
	// maxStrange bounds those of sources that are neither a member's nor a seed's, and maxEach those of one of them.
	maxStrange = 64
	maxEach    = 8
	// maxFamiliar bounds those of one member's or seed's source: behind some translations of addresses all have the same.
	maxFamiliar = 96
	// firstByte is how long a stream may take to begin: whoever opens one of the cluster's has its message ready.
	firstByte = 2 * time.Second
	// maxStream bounds the bytes read from one stream; maxUnread those of all open ones that others have opened, and
	// maxStrangeUnread those of strange ones: memberlist keeps up to 20 MiB of each in memory before it knows who writes. A
	// state with the most ids is a bit more than 1 MiB.
	maxStream        = 4 << 20
	maxUnread        = 8 << 20
	maxStrangeUnread = 4 << 20
)

// stream is one that Shutdown closes, and Refuse. What is below from is there for one that others have opened. Transport.mu
// guards the fields below first.
type stream struct {
	net.Conn
	t        *Transport
	accepted bool
	from     netip.Addr // its source
	familiar bool       // a member's or a seed's source when it came
	first    *time.Timer

	read    int64     // bytes so far
	moved   time.Time // when it last brought some, or came
	vouched bool      // see Vouch
	closed  bool      // what it brought counts no more
}

// source is what counts as one: an address, or the /64 that an IPv6 host can choose from.
func source(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		p, _ := addr.Prefix(64) // no address is too short for that
		return p.Addr()
	}
	return addr
}

// Room says for whom room is kept, and is told of streams that were closed before they were read. Its functions must not wait.
type Room struct {
	Familiar func(netip.Addr) bool
	Closed   func(Reason)
}

// Reason is why a stream was closed.
type Reason uint8

// The reasons.
const (
	Silent  Reason = iota // no byte within firstByte
	NoRoom                // another one took the place
	TooMuch               // more bytes than may wait
)

// KeepRoom sets that.
func (t *Transport) KeepRoom(r Room) { t.room.Store(&r) }

func (t *Transport) tell(why Reason) {
	if r := t.room.Load(); r != nil {
		r.Closed(why)
	}
}

// admit takes in a stream that was accepted, in the place of another one if it must. Nil: there is no place.
func (t *Transport) admit(conn net.Conn) *stream {
	s := &stream{Conn: conn, t: t, accepted: true, moved: time.Now()}
	var addr netip.Addr
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		addr = tcp.AddrPort().Addr().Unmap()
	}
	s.from = source(addr)
	if r := t.room.Load(); r != nil {
		s.familiar = r.Familiar(addr)
	}
	t.mu.Lock()
	full, place := t.place(s)
	if !full || place != nil {
		s.first = time.AfterFunc(firstByte, s.hurry)
		t.open[s] = true
		if place != nil {
			delete(t.open, place) // before another one comes and counts it
		}
	}
	t.mu.Unlock()
	if full {
		t.tell(NoRoom)
		gone := conn
		if place != nil {
			gone = place
		}
		t.full.Do(func() {
			t.logger.Warn("gossip: too many streams at once, one was closed", "from", gone.RemoteAddr(), "at_most", maxAccepted)
		})
		_ = gone.Close() // whoever is of the cluster tries again
		if place == nil {
			return nil
		}
	}
	return s
}

// place says whether there is room for s only in the place of another one, and of which; nil: of none. t.mu is held.
func (t *Transport) place(s *stream) (full bool, instead *stream) {
	var all, strange, each int
	var ofAll, ofStrange, ofEach *stream
	older := func(than **stream, o *stream) {
		if !o.vouched && (*than == nil || o.moved.Before((*than).moved)) {
			*than = o
		}
	}
	for o := range t.open {
		if !o.accepted {
			continue
		}
		all++
		older(&ofAll, o)
		if !o.familiar {
			strange++
			older(&ofStrange, o)
		}
		if o.from == s.from {
			each++
			older(&ofEach, o)
		}
	}
	most := maxEach
	if s.familiar {
		most = maxFamiliar
	}
	switch {
	case each >= most:
		return true, ofEach
	case !s.familiar && strange >= maxStrange:
		return true, ofStrange
	case all >= maxAccepted && ofStrange != nil:
		return true, ofStrange
	case all >= maxAccepted && !s.familiar:
		return true, nil
	case all >= maxAccepted:
		return true, ofAll
	}
	return false, nil
}

// hurry closes a stream that has not begun.
func (s *stream) hurry() {
	s.t.mu.Lock()
	silent := s.read == 0 && !s.closed
	s.t.mu.Unlock()
	if silent {
		s.t.tell(Silent)
		_ = s.Close() // nobody is owed anything
	}
}

// Vouch says that the stream has shown that it belongs here: it makes place for nobody.
func (s *stream) Vouch() {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.vouched = true
}

var errTooMuch = errors.New("what open streams have brought exceeds limit")

// Read reads, as long as the stream and all together stay within their limits. Of streams that brought too much together,
// the one that brought most ends.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	t := s.t
	t.mu.Lock()
	if s.closed {
		t.mu.Unlock()
		return n, err
	}
	s.read += int64(n)
	s.moved = time.Now()
	if s.read > maxStream {
		err = fmt.Errorf("a stream exceeds limit (%d bytes)", maxStream)
	}
	var gone *stream
	if s.accepted {
		if gone = t.heaviest(s); gone == s {
			err = errTooMuch
		}
	}
	t.mu.Unlock()
	if gone != nil {
		t.tell(TooMuch)
		if gone != s { // whoever reads s is told
			_ = gone.Close()
		}
	}
	return n, err
}

// heaviest is the stream that must end for what s has brought, nil: none. t.mu is held.
func (t *Transport) heaviest(s *stream) (gone *stream) {
	var all, strange int64
	for o := range t.open {
		if o.accepted {
			all += o.read
			if !o.familiar {
				strange += o.read
			}
		}
	}
	strangers := strange > maxStrangeUnread
	if !strangers && all <= maxUnread {
		return nil
	}
	for o := range t.open {
		if o.accepted && !o.vouched && !(strangers && o.familiar) && (gone == nil || o.read > gone.read) {
			gone = o
		}
	}
	if gone == nil {
		return s
	}
	return gone
}

// Close closes the stream.
func (s *stream) Close() error {
	s.t.mu.Lock()
	s.closed = true
	delete(s.t.open, s)
	s.t.mu.Unlock()
	if s.first != nil {
		s.first.Stop()
	}
	return s.Conn.Close()
}
