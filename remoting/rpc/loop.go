package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/remoting"
)

// window is how many frames of one connection are handled before others have their turn.
const window = 32

// copyBody is the largest body that is copied behind its header; a larger one is written from where it lies.
const copyBody = 16 << 10

// loop is what serving a connection needs beside it. Only the goroutine that serves touches it.
type loop struct {
	in   *buffer // nil while nothing unread is held and nobody reads
	r, w int     // unread bytes are in.b[r:w]

	timed bool // the frame that in.b[r:w] begins has its time set,
	sized bool // and its length has been added to that time

	read bool // something was, since the connection is served

	rest bool // the connection is being closed by a stop: what has come in by now is answered, see answerRest

	out        *buffer // nil while there are no answers
	afterFlush []func()
	holds      *pool // entered for the requests since the last flush
	turn       int   // frames since the connection last waited for others
	pending    int64 // requests not yet in tally
	charged    int64 // bytes, for the request that is being handled

	woken      clock.Stamp // when the poller saw the bytes of the first read
	readStamp  clock.Stamp // of the last read, once writes are tracked
	nextStamp  clock.Stamp // of the first byte of the frame that in.b[r:w] begins
	frameStart clock.Stamp // of the first byte of the frame that is being handled

	repeats remoting.Repeats
	req     remoting.Request
	resp    remoting.Response
	times   timings
}

// takeLoop begins to serve c. Frames that began before are none, so that all stamps are those of the first byte until
// the next read.
func (s *Server) takeLoop(c *Conn) *loop {
	l, ok := s.loops.Get().(*loop)
	if !ok {
		l = new(loop)
	}
	l.readStamp, l.nextStamp, l.frameStart = c.firstByte, c.firstByte, c.firstByte
	return l
}

// putLoop ends it. The buffers must be released.
func (s *Server) putLoop(c *Conn) {
	l := c.loop
	c.loop = nil
	l.req.Release()
	l.resp.Reset()
	clear(l.afterFlush)
	*l = loop{repeats: l.repeats, req: l.req, resp: l.resp, afterFlush: l.afterFlush[:0]}
	s.loops.Put(l)
}

// space returns room to read into. Unread bytes are moved to the front before the buffer is made larger.
func (c *Conn) space() ([]byte, error) {
	l := c.loop
	var err error
	switch {
	case l.in == nil && c.raw() && !c.tls:
		l.in, err = c.reading(readBuffer)
	case l.in == nil: // held while waiting
		l.in, err = c.reading(smallBuffer)
	case l.w < len(l.in.b):
	case l.r > 0:
		l.w = copy(l.in.b, l.in.b[l.r:l.w])
		l.r = 0
	default:
		err = c.grow()
	}
	if err != nil {
		return nil, err
	}
	return l.in.b[l.w:], nil
}

// grow makes the buffer larger, which is full of one frame that has begun, or of a PROXY header before the first one.
func (c *Conn) grow() error {
	l := c.loop
	frame := proxyMax
	if c.framed {
		frame = 4 + int(binary.BigEndian.Uint32(l.in.b)) // no more than MaxFrame, see frames
	}
	bigger, err := c.reading(larger(len(l.in.b), frame))
	if err != nil {
		return err
	}
	copy(bigger.b, l.in.b[:l.w])
	c.put(l.in)
	l.in = bigger
	return nil
}

// got takes note of n bytes read into space.
func (c *Conn) got(n int) {
	l := c.loop
	if c.wire.track.Load() != nil {
		l.readStamp, l.woken = l.woken, clock.Stamp{}
		if l.readStamp.IsZero() {
			l.readStamp = c.server.cfg.Clock()
		}
		if l.r == l.w {
			l.nextStamp = l.readStamp
		}
	}
	l.w += n
}

// release gives up what a connection that waits need not hold.
func (c *Conn) release() {
	l := c.loop
	l.turn = 0
	if l.out != nil {
		c.putAnswers(l.out)
		l.out = nil
	}
	if l.in == nil {
		return
	}
	// The last request's frame is in the buffer, which would be held by it long after the pool has dropped it.
	l.req.Release()
	l.resp.Reset()
	unread := l.w - l.r
	if unread == 0 {
		c.put(l.in)
		l.in, l.r, l.w = nil, 0, 0
		return
	}
	if len(l.in.b) > smallBuffer && unread <= smallBuffer/2 && c.take(smallBuffer) {
		small := take(&c.server.buffers.small, smallBuffer)
		small.cost = smallBuffer
		l.w = copy(small.b, l.in.b[l.r:l.w])
		l.r = 0
		c.put(l.in)
		l.in = small
	}
}

// allow sets the time until the frame or handshake that has begun must be complete.
func (c *Conn) allow(d time.Duration) { c.expires.Store(c.server.ticks.Load() + steps(d)) }

// feed takes what was read as far as it goes.
func (c *Conn) feed() error {
	if !c.framed {
		if more, err := c.first(); more || err != nil {
			return err
		}
	}
	return c.frames()
}

// frames handles every complete frame that was read, then writes the answers.
func (c *Conn) frames() error {
	l := c.loop
	for l.w-l.r >= 4 && (l.rest || c.closing.Load() == nil) {
		n := int(int32(binary.BigEndian.Uint32(l.in.b[l.r:])))
		if n < 4 || n > c.server.cfg.MaxFrame-4 {
			return c.refuse(badInput{fmt.Errorf("%w: %d", errFrameLen, n)})
		}
		if l.w-l.r < 4+n {
			break
		}
		frame := l.in.b[l.r+4 : l.r+4+n]
		l.r += 4 + n
		if c.wire.track.Load() != nil {
			l.frameStart = l.nextStamp
			l.nextStamp = l.readStamp
		}
		l.timed, l.sized = false, false
		if err := c.serve(frame); err != nil {
			return c.refuse(err)
		}
		if c.listed.Load() {
			c.listed.Store(false)
		}
		if l.turn++; l.turn == window {
			l.turn = 0
			c.leave()
			c.server.Yield() // a core is taken in turns, too
		}
		if l.out != nil && len(l.out.b) >= c.server.cfg.HighWatermark {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
	c.watch()
	return c.flush()
}

// watch keeps the time allowed for a frame that has begun: FrameTimeout from its first byte, and more as soon as
// its length is known.
func (c *Conn) watch() {
	l, cfg := c.loop, &c.server.cfg
	if l.r == l.w {
		if c.expires.Load() != 0 {
			c.expires.Store(0)
		}
		return
	}
	if !l.timed {
		l.timed = true
		c.allow(cfg.FrameTimeout)
	}
	if !l.sized && l.w-l.r >= 4 {
		l.sized = true
		size := int(binary.BigEndian.Uint32(l.in.b[l.r:]))
		add(&c.expires, steps(time.Duration(size/cfg.MinFrameRate)*time.Second))
	}
}

// refuse writes the answers of the good frames before a bad one, as they would have been without it.
func (c *Conn) refuse(err error) error {
	return errors.Join(err, c.flush())
}

// flush writes the gathered answers.
func (c *Conn) flush() error {
	c.leave()
	if err := c.write(); err != nil {
		return err
	}
	c.flushed()
	return nil
}

// write writes what has been gathered of answers, or drops it where the peer has not taken the one before.
func (c *Conn) write() error {
	l := c.loop
	if l.out == nil || len(l.out.b) == 0 {
		return nil
	}
	if c.wire.behind() {
		c.drop()
		return nil
	}
	_, err := c.net.Write(l.out.b)
	l.out.b = l.out.b[:0]
	return c.unless(err)
}

// flushBody writes the gathered answers, of which the last is a header, and its body.
func (c *Conn) flushBody(body []byte) error {
	l := c.loop
	c.leave()
	var err error
	switch {
	case c.wire.behind():
		c.drop()
	case c.tls:
		if _, err = c.net.Write(l.out.b); err == nil {
			_, err = c.net.Write(body)
		}
	default:
		err = c.wire.writeTwo(l.out.b, body)
	}
	l.out.b = l.out.b[:0]
	if err = c.unless(err); err != nil {
		return err
	}
	c.flushed()
	return nil
}

// unless is err unless the connection is not closed from here and a write failed all the same: then the peer is gone, and what it sent before it
// went is read on. What of that changes something is carried out, in order, for a broker says good-bye and goes.
func (c *Conn) unless(err error) error {
	if err == nil || c.closing.Load() != nil {
		return err
	}
	c.unheard()
	return nil
}

// unheard takes note that nobody will get an answer any more.
func (c *Conn) unheard() {
	c.deaf = true
	if c.loop.out != nil {
		c.loop.out.b = c.loop.out.b[:0]
	}
	c.flushed()
}

// flushed ends the requests since the last flush.
func (c *Conn) flushed() {
	l := c.loop
	if l.pending > 0 {
		add(&c.wire.meter.requests, l.pending)
		l.pending = 0
	}
	if c.deaf {
		l.times.count = 0
	} else if l.times.count > 0 {
		l.times.end(c.server.cfg.Timed)
	}
	if len(l.afterFlush) == 0 {
		return
	}
	if !c.deaf {
		for _, f := range l.afterFlush {
			f()
		}
	}
	clear(l.afterFlush)
	l.afterFlush = l.afterFlush[:0]
}
