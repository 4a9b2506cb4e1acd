package remoting

import (
	"bytes"
	"encoding/binary"
	"math"
)

const (
	repeatedHeader = 512 // bytes of the longest header that is kept; those of clients have about 150
	repeatedExt    = 16
	// opaqueDigits are those of the largest number of 32 bits.
	opaqueDigits = 10
)

// Repeats decodes what one peer sends in a row: JSON headers that differ in the digits of opaque and in the topic, and in nothing
// else. It keeps the last header with what was read from it, and reads of one that is alike those two only. What it makes is what
// Decode makes, to the byte. The zero value has seen nothing. It is no part of a peer's state: any header may follow any other.
type Repeats struct {
	text  []byte      // of the last header; what was read from it points here
	vary  [2]variable // in the order in which they stand in text; where nothing may vary, known is false
	known bool
	read  Request // without a body
	ext   []Field
	topic int // in ext
}

// variable is a place in a header that may have another text: text[from:to].
type variable struct {
	from, to int
	digits   bool
}

// Decode is Decode(frame, r). r's slices alias frame or d until the next call.
func (d *Repeats) Decode(frame []byte, r *Request) error {
	if len(frame) < wordLen {
		return Decode(frame, r)
	}
	n := binary.BigEndian.Uint32(frame) // of JSON: the top byte is 0
	rest := frame[wordLen:]
	if n > repeatedHeader || int(n) > len(rest) {
		return Decode(frame, r)
	}
	header, body := rest[:n], rest[n:]
	if !d.again(header, r) {
		// From the copy, so that what is read can be kept.
		r.reset()
		d.text = append(d.text[:0], header...)
		r.HeaderLen = len(header)
		if err := r.decodeJSON(d.text); err != nil {
			d.known = false
			return headerError(err)
		}
		d.keep(r)
	}
	if len(body) > 0 {
		r.Body = body
	}
	return nil
}

// again reads a header that is like the last one.
func (d *Repeats) again(header []byte, r *Request) bool {
	if !d.known {
		return false
	}
	var opaque int32
	var topic []byte
	at, was := 0, 0
	for i := range d.vary {
		v := &d.vary[i]
		same := d.text[was:v.from]
		if !bytes.HasPrefix(header[at:], same) {
			return false
		}
		at += len(same)
		n := v.length(header[at:])
		if n == 0 {
			return false
		}
		if text := header[at : at+n]; v.digits {
			number := int64(0)
			for _, c := range text {
				number = number*10 + int64(c-'0')
			}
			if number > math.MaxInt32 {
				return false
			}
			opaque = int32(number)
		} else {
			topic = text
		}
		at, was = at+n, v.to
	}
	if !bytes.Equal(header[at:], d.text[was:]) {
		return false
	}
	ext, scratch := append(r.Ext[:0], d.ext...), r.scratch[:0]
	*r = d.read
	r.Ext, r.scratch, r.Opaque, r.HeaderLen = ext, scratch, opaque, len(header)
	r.Ext[d.topic].Value = topic
	return true
}

// length is how many bytes of a header are a text that may stand in this place: one that is read as it is, whatever is around it.
func (v *variable) length(header []byte) (n int) {
	if !v.digits {
		for n < len(header) && header[n] >= ' ' && header[n] < 0x7F && header[n] != '"' && header[n] != '\\' {
			n++
		}
		return n
	}
	for n < len(header) && header[n] >= '0' && header[n] <= '9' {
		n++
	}
	if n > opaqueDigits || n > 1 && header[0] == '0' {
		return 0
	}
	return n
}

// keep takes note of what was read from text, if its opaque and its topic may vary.
func (d *Repeats) keep(r *Request) {
	d.known = false
	switch {
	case len(r.scratch) > 0 || len(r.Ext) > repeatedExt:
		return
	case r.topic.index >= len(r.Ext) || string(r.Ext[r.topic.index].Key) != "topic": // other extFields came behind those that had it
		return
	case d.text[r.topic.from] != '"':
		return
	}
	opaque := variable{r.opaque.from, r.opaque.to, true}
	topic := variable{r.topic.from + 1, r.topic.to - 1, false} // within its quotes
	for _, v := range []variable{opaque, topic} {
		if v.to <= v.from || v.length(d.text[v.from:]) != v.to-v.from {
			return
		}
	}
	d.vary = [2]variable{opaque, topic}
	if topic.from < opaque.from {
		d.vary = [2]variable{topic, opaque}
	}
	d.ext = append(d.ext[:0], r.Ext...)
	d.topic = r.topic.index
	d.read = *r
	d.read.Ext, d.read.scratch = nil, nil
	d.known = true
}
