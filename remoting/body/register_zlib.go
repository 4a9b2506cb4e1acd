package body

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// MaxInflated is the default limit of the decompressed size of a register body, in bytes: several times what a
// broker with a hundred thousand topics sends.
const MaxInflated = 64 << 20

// Errors of compressed register bodies.
var (
	ErrInflated   = errors.New("compressed body is larger than the limit when decompressed")
	ErrTruncated  = errors.New("compressed body ends too early")
	ErrMemory     = errors.New("no memory for so large a registration now")
	ErrTopicText  = errors.New("topic needs five parts: name, read queues, write queues, perm, filter type")
	ErrFilterType = errors.New("topic filter type is neither SINGLE_TAG nor MULTI_TAG")
)

// inflater reads a zlib stream as a sequence of big-endian int32 counts and blocks, as it is decompressed: what it has read
// is not kept. Java reads no further than it must, so a stream whose end is damaged counts as far as it goes. It is used
// again for every body.
type inflater struct {
	in   bytes.Reader
	zlib io.ReadCloser
	out  bufio.Reader
	left int // bytes that the stream may still have
	text []byte
	err  error // the first one: nothing is read behind it
}

// start begins with another stream, which may have limit bytes when it is decompressed.
func (f *inflater) start(data []byte, limit int) (err error) {
	f.in.Reset(data)
	if f.zlib == nil {
		f.zlib, err = zlib.NewReader(&f.in)
	} else {
		err = f.zlib.(zlib.Resetter).Reset(&f.in, nil)
	}
	if err != nil {
		f.zlib = nil
		return err
	}
	f.left, f.err = limit, nil
	f.out.Reset(f)
	return nil
}

// Read is for the buffer in front of the stream.
func (f *inflater) Read(p []byte) (int, error) {
	n, err := f.zlib.Read(p)
	if f.left -= n; f.left < 0 {
		return 0, ErrInflated
	}
	return n, err
}

// refuses says that an error of the stream refuses the body wherever it is, also behind all that anybody needs.
func refuses(err error) bool { return errors.Is(err, ErrInflated) || errors.Is(err, zlib.ErrChecksum) }

// ended notes the first error of the stream.
func (f *inflater) ended(err error) {
	switch {
	case refuses(err):
		f.err = err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.err = ErrTruncated
	default:
		f.err = fmt.Errorf("%w: %w", ErrTruncated, err)
	}
}

// count reads an int32; it is 0 after an error.
func (f *inflater) count() int {
	if f.err != nil {
		return 0
	}
	b, err := f.out.Peek(4)
	if err != nil {
		f.ended(err)
		return 0
	}
	n := int32(binary.BigEndian.Uint32(b))
	_, _ = f.out.Discard(4)
	return int(n)
}

// block reads a text with its length before it. It is valid until the next one. A text beyond maxText is passed over.
func (f *inflater) block() (text []byte, fits bool) {
	n := f.count()
	if n < 0 && f.err == nil {
		f.err = ErrTruncated
	}
	switch {
	case f.err != nil:
		return nil, true
	case n > maxText:
		if _, err := f.out.Discard(n); err != nil {
			f.ended(err)
		}
		return nil, false
	}
	f.text = slices.Grow(f.text[:0], n)[:n]
	if _, err := io.ReadFull(&f.out, f.text); err != nil {
		f.ended(err)
		return nil, true
	}
	return f.text, true
}

// rest reads what is behind the last block.
func (f *inflater) rest() error {
	if f.err != nil {
		return f.err
	}
	if _, err := io.Copy(io.Discard, &f.out); refuses(err) {
		return err
	}
	return nil
}

func (f *inflater) trim() {
	const keep = 64 << 10
	if cap(f.text) > keep {
		f.text = nil
	}
}

// decodeCompressed follows RegisterBrokerBody.decode.
func (d *RegisterDecoder) decodeCompressed(data []byte, mappings bool) error {
	limit := d.MaxInflated
	if limit <= 0 {
		limit = MaxInflated
	}
	in := &d.inflate
	if err := in.start(data, limit); err != nil {
		return fmt.Errorf("inflate: %w", err)
	}
	reg := &d.reg
	reg.Wrapper, reg.TopicTable, reg.MappingTable, reg.HasVersion = Present, Present, Present, Null
	text, fits := in.block()
	if !fits && in.err == nil {
		return fmt.Errorf("data version: longer than %d bytes", maxText)
	}
	if len(text) > 0 {
		if err := d.decodeJSON(text, d.dataVersion); err != nil {
			return fmt.Errorf("data version: %w", err)
		}
	}
	d.scratch = d.scratch[:0]
	n := in.count()
	d.index.reset(min(max(n, 0), len(data)/8, MaxTopics))
	if err := d.blocks(n, d.blockTopic); err != nil {
		return err
	}
	if text, fits := in.block(); fits && in.err == nil {
		d.blockFilters(d.keep(text))
	} else if !fits {
		reg.Filters = Present
		d.cut++
	}
	if mappings {
		if err := d.blocks(in.count(), d.blockMapping); err != nil {
			return fmt.Errorf("mapping: %w", err)
		}
	}
	return in.rest()
}

// blocks reads n of them, and leaves out those that are too long. The stream's errors are told by the inflater.
func (d *RegisterDecoder) blocks(n int, read func(text []byte) error) error {
	for in := &d.inflate; n > 0 && in.err == nil; n-- {
		text, fits := in.block()
		switch {
		case !fits:
			d.cut++
		case in.err == nil:
			if err := read(text); err != nil {
				return err
			}
		}
		if !d.goOn(n) {
			return ErrMemory
		}
	}
	return nil
}

// keep copies text, which the next block writes over, to the scratch space.
func (d *RegisterDecoder) keep(text []byte) []byte {
	at := len(d.scratch)
	d.scratch = append(slices.Grow(d.scratch, len(text)+1), text...) // never nil, which would be an absent text
	return d.scratch[at:len(d.scratch):len(d.scratch)]
}

// blockTopic reads one topic.
func (d *RegisterDecoder) blockTopic(text []byte) error {
	t, err := parseTopic(text)
	if err != nil {
		return err
	}
	place := d.topic(t.Key)
	if place == &d.beyond {
		return nil
	}
	if place.Name == nil { // it is new: its name is the block's
		place.Key = d.keep(t.Key)
		place.Name = place.Key
	}
	place.ReadQueueNums, place.WriteQueueNums, place.Perm = t.ReadQueueNums, t.WriteQueueNums, t.Perm
	return nil
}

// parseTopic reads TopicConfig.encode's text. What follows the fifth part is the attributes, which Java drops
// when they are no JSON; topicSysFlag and order are not carried.
func parseTopic(text []byte) (TopicConfig, error) {
	var part [5][]byte
	for i := range part {
		at := bytes.IndexByte(text, ' ')
		if at < 0 && i < len(part)-1 {
			return TopicConfig{}, ErrTopicText
		}
		if at < 0 {
			at = len(text)
		}
		part[i] = text[:at:at]
		text = text[min(at+1, len(text)):]
	}
	t := TopicConfig{Name: part[0], Key: part[0]}
	for i, field := range []*int32{&t.ReadQueueNums, &t.WriteQueueNums, &t.Perm} {
		n, ok := parseInt32(part[i+1])
		if !ok {
			return t, fmt.Errorf("topic %q: %q is not a number", part[0], part[i+1])
		}
		*field = n
	}
	if f := string(part[4]); f != "SINGLE_TAG" && f != "MULTI_TAG" {
		return t, fmt.Errorf("topic %q: %w", part[0], ErrFilterType)
	}
	return t, nil
}

// parseInt32 follows Integer.parseInt.
func parseInt32(text []byte) (int32, bool) {
	digits := text
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		digits = digits[1:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, ok := fastjson.ToInteger(text, math.MinInt32, math.MaxInt32)
	return int32(n), ok
}

// blockFilters reads the list of filter servers: an empty block or null is null, and what is no list of
// strings counts as an empty one.
func (d *RegisterDecoder) blockFilters(text []byte) {
	reg := &d.reg
	if len(text) == 0 {
		reg.Filters = Null
		return
	}
	if err := d.decodeJSONAppend(text, d.filters); err != nil {
		reg.FilterServers, reg.Filters = reg.FilterServers[:0], Present
	}
}

// blockMapping reads one mapping. Its topic is its key, so it must have one.
func (d *RegisterDecoder) blockMapping(text []byte) error {
	entry := TopicMapping{}
	left := 0
	err := d.decodeJSONAppend(text, func() {
		var ok bool
		if left, ok = readMapping(&d.s, &entry.Mapping, d.queueIDs); !ok {
			d.s.Fail("mapping is null")
		}
	})
	if err == nil && !entry.Mapping.Topic.Valid {
		err = errors.New("mapping has no topic")
	}
	entry.Topic = entry.Mapping.Topic.S
	d.addMapping(entry, left)
	return err
}

// decodeJSONAppend is decodeJSON for one of several texts: what others left in the scratch space stays.
func (d *RegisterDecoder) decodeJSONAppend(text []byte, read func()) error {
	d.s.Reset(text, d.scratch)
	read()
	d.scratch = d.s.Scratch()
	return d.s.End()
}
