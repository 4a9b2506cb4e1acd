// Package remoting is the wire format of Apache RocketMQ's remoting protocol as pure functions: no sockets,
// no goroutines, no clock.
//
//	0        4        8            8+H          4+L
//	+--------+--------+------------+------------+
//	| L      | T | H  | header     | body       |     all integers big-endian
//	+--------+--------+------------+------------+
//	 int32    1B  3B   H bytes      L-4-H bytes      T: 0 JSON, 1 ROCKETMQ (binary)
//
// It follows RemotingCommand, RocketMQSerializable and NettyDecoder of Apache RocketMQ 5.5.0.
package remoting

import "github.com/epitaph-mq/epitaph/mq"

// SerializeType says how a header is written: the top byte of the frame's header word.
type SerializeType byte

// The two header forms.
const (
	JSON     SerializeType = 0
	RocketMQ SerializeType = 1
)

// Version is the version ordinal that this server reports.
const Version = mq.V5_5_0

// Flag bits of a header.
const (
	FlagResponse = 1 << 0
	FlagOneway   = 1 << 1
)

// Field is one entry of extFields of a request. Both slices alias the frame, or the request's scratch space
// when escapes had to be resolved. A nil Value is a null member.
type Field struct {
	Key, Value []byte
}

// Request is one decoded inbound frame. It is made to be reused: all slices alias the frame buffer or the
// request's own scratch space, so they are valid until the next Decode into the same Request or the next use
// of the frame buffer, whichever comes first.
type Request struct {
	Type      SerializeType
	Code      int32
	Language  Language
	Version   int32
	Opaque    int32
	Flag      int32
	Remark    []byte // nil when absent
	HasExt    bool   // the extFields member was present and not null
	Ext       []Field
	Body      []byte // nil when empty
	scratch   []byte
	HeaderLen int // bytes of the header, for limits and logs

	opaque, topic place // in a JSON header
}

// place is where the last member of one name has its value in a JSON header, and which of Ext it is, for one of extFields.
type place struct{ from, to, index int }

// Release lets go of the frame: everything in r points into it, and would hold its memory until the next Decode.
func (r *Request) Release() {
	ext, scratch := r.Ext[:cap(r.Ext)], r.scratch[:0]
	if len(ext) > keepExt {
		ext = nil
	}
	if cap(scratch) > keepScratch {
		scratch = nil
	}
	clear(ext)
	*r = Request{Ext: ext[:0], scratch: scratch}
}

// IsResponse says that the frame answers a request of ours (both bits set count as a response).
func (r *Request) IsResponse() bool { return r.Flag&FlagResponse != 0 }

// IsOneway says that nothing may ever be written back.
func (r *Request) IsOneway() bool { return r.Flag&FlagOneway != 0 }

// Get returns the value of an extFields member; ok is false when it is absent or null.
func (r *Request) Get(key string) (value []byte, ok bool) {
	for i := len(r.Ext) - 1; i >= 0; i-- { // of several members of one name the last one counts
		if string(r.Ext[i].Key) == key {
			return r.Ext[i].Value, r.Ext[i].Value != nil
		}
	}
	return nil, false
}

// Pair is one entry of extFields of a response.
type Pair struct {
	Key, Value string
}

// Response is one outbound answer. It is made to be reused: see Reset.
type Response struct {
	Opaque    int32 // of the request; the server sets it just before AppendResponse
	Code      int32
	Remark    string
	HasRemark bool
	HasExt    bool // write extFields even when Ext is empty: the handler has a response header type
	Ext       []Pair
	Body      []byte // may alias memory that is never changed (an encoded route)
}

// Reset makes r a success without remark, header or body.
func (r *Response) Reset() { *r = Response{Ext: r.Ext[:0]} }

// Fail sets a code and a remark.
func (r *Response) Fail(code int32, remark string) {
	r.Code, r.Remark, r.HasRemark = code, remark, true
}

// Set adds a member to extFields.
func (r *Response) Set(key, value string) {
	r.HasExt = true
	r.Ext = append(r.Ext, Pair{key, value})
}
