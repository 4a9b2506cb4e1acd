package body

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// MaxInflated is the default limit of the decompressed size of a register body, in bytes: several times what a
// broker with a hundred thousand topics sends.
const MaxInflated = 64 << 20

// Errors of compressed register bodies.
var (
	ErrInflated   = errors.New("compressed body is larger than the limit when decompressed")
	ErrTruncated  = errors.New("compressed body ends too early")
	ErrTopicText  = errors.New("topic needs five parts: name, read queues, write queues, perm, filter type")
	ErrFilterType = errors.New("topic filter type is neither SINGLE_TAG nor MULTI_TAG")
)

// inflater is a zlib reader and its output, both used again.
type inflater struct {
	in     bytes.Reader
	reader io.ReadCloser
	out    []byte
}

// all decompresses the stream. Java reads no further than it must, so a stream whose end is damaged still
// counts as far as it goes; bad says what was wrong with the rest.
func (f *inflater) all(data []byte, limit int) (out []byte, bad error, err error) {
	f.in.Reset(data)
	if f.reader == nil {
		f.reader, err = zlib.NewReader(&f.in)
	} else {
		err = f.reader.(zlib.Resetter).Reset(&f.in, nil)
	}
	if err != nil {
		f.reader = nil
		return nil, nil, err
	}
	f.out = f.out[:0]
	for {
		if len(f.out) == cap(f.out) {
			f.out = append(f.out, make([]byte, min(max(4*len(data), 1024), limit+1))...)[:len(f.out)]
		}
		n, err := f.reader.Read(f.out[len(f.out):cap(f.out)])
		f.out = f.out[:len(f.out)+n]
		switch {
		case len(f.out) > limit:
			return nil, nil, ErrInflated
		case err == io.EOF:
			return f.out, nil, nil
		case errors.Is(err, zlib.ErrChecksum):
			return nil, nil, err
		case err != nil:
			return f.out, err, nil
		}
	}
}

func (f *inflater) trim(keep int) {
	if cap(f.out) > keep {
		f.out = nil
	}
}

// blocks walks over the decompressed content, a sequence of big-endian int32 counts and blocks.
type blocks struct {
	data []byte
	err  error
	bad  error // why data ends where it ends
}

func (b *blocks) fail() {
	if b.err == nil {
		b.err = ErrTruncated
		if b.bad != nil {
			b.err = fmt.Errorf("%w: %w", ErrTruncated, b.bad)
		}
	}
}

func (b *blocks) count() int {
	if len(b.data) < 4 {
		b.fail()
		return 0
	}
	n := int32(binary.BigEndian.Uint32(b.data))
	b.data = b.data[4:]
	return int(n)
}

func (b *blocks) block() []byte {
	n := b.count()
	if n < 0 || n > len(b.data) {
		b.fail()
		return nil
	}
	p := b.data[:n:n]
	b.data = b.data[n:]
	return p
}

// decodeCompressed follows RegisterBrokerBody.decode. Strings alias the decompressed bytes.
func (d *RegisterDecoder) decodeCompressed(data []byte, mappings bool) error {
	limit := d.MaxInflated
	if limit <= 0 {
		limit = MaxInflated
	}
	out, bad, err := d.inflate.all(data, limit)
	if err != nil {
		return fmt.Errorf("inflate: %w", err)
	}
	b := blocks{data: out, bad: bad}
	reg := &d.reg
	reg.Wrapper, reg.TopicTable, reg.MappingTable, reg.HasVersion = Present, Present, Present, Null
	if text := b.block(); b.err == nil && len(text) > 0 {
		if err := d.decodeJSON(text, d.dataVersion); err != nil {
			return fmt.Errorf("data version: %w", err)
		}
	}
	for n := b.count(); n > 0 && b.err == nil; n-- {
		text := b.block()
		if b.err != nil {
			break
		}
		t, err := parseTopic(text)
		if err != nil {
			return err
		}
		reg.Topics = append(reg.Topics, t)
	}
	d.blockFilters(b.block())
	if mappings {
		for n := b.count(); n > 0 && b.err == nil; n-- {
			if err := d.blockMapping(b.block()); err != nil && b.err == nil {
				return fmt.Errorf("mapping: %w", err)
			}
		}
	}
	return b.err
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
	err := d.decodeJSONAppend(text, func() {
		if !readMapping(&d.s, &entry.Mapping) {
			d.s.Fail("mapping is null")
		}
	})
	if err == nil && !entry.Mapping.Topic.Valid {
		err = errors.New("mapping has no topic")
	}
	entry.Topic = entry.Mapping.Topic.S
	d.reg.Mappings = append(d.reg.Mappings, entry)
	return err
}

// decodeJSONAppend is decodeJSON for one of several texts: what others left in the scratch space stays.
func (d *RegisterDecoder) decodeJSONAppend(text []byte, read func()) error {
	d.s.Reset(text, d.scratch)
	read()
	d.scratch = d.s.Scratch()
	return d.s.End()
}
