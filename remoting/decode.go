package remoting

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxFrame is the default limit of a whole frame including its length word (com.rocketmq.remoting.frameMaxLength).
const MaxFrame = 16 << 20

// Errors of Decode. Every one of them closes the connection: nothing after such a frame can be trusted.
var (
	ErrFrameTooShort = errors.New("frame is shorter than its header word")
	ErrHeaderLength  = errors.New("header length exceeds the frame")
	ErrHeaderType    = errors.New("serialisation type is neither 0 (JSON) nor 1 (ROCKETMQ)")
)

const wordLen = 4

// Decode reads a frame, given without its 4-byte length, into r, which is overwritten. r's slices alias frame
// until the next Decode into r. An error means that the connection must be closed without an answer
// (RemotingCommand.decode, NettyDecoder).
func Decode(frame []byte, r *Request) error {
	r.reset()
	if len(frame) < wordLen {
		return ErrFrameTooShort
	}
	word := binary.BigEndian.Uint32(frame)
	rest := frame[wordLen:]
	r.HeaderLen = int(word & 0xFFFFFF)
	if r.HeaderLen > len(rest) {
		return fmt.Errorf("%w: %d of %d bytes", ErrHeaderLength, r.HeaderLen, len(rest))
	}
	body := rest[r.HeaderLen:]
	r.Type = SerializeType(word >> 24)
	switch r.Type {
	case JSON:
		if err := r.decodeJSON(rest[:r.HeaderLen]); err != nil {
			return headerError(err)
		}
	case RocketMQ:
		n, err := r.decodeBinary(rest)
		if err != nil {
			return fmt.Errorf("decode binary header: %w", err)
		}
		// Java's reader goes on from where the header's content ended, whatever the header's length said:
		// surplus header bytes begin the body, whose end is then cut off.
		if n+len(body) > len(rest) {
			return fmt.Errorf("decode binary header: %w", errBinaryShort)
		}
		body = rest[n : n+len(body)]
	default:
		return fmt.Errorf("%w: %d", ErrHeaderType, r.Type)
	}
	if len(body) > 0 {
		r.Body = body
	}
	return nil
}

func headerError(err error) error { return fmt.Errorf("decode json header: %w", err) }

// reset keeps the memory of r for the next frame, unless an unusual one made it large.
func (r *Request) reset() {
	ext, scratch := r.Ext[:0], r.scratch[:0]
	if cap(ext) > keepExt {
		ext = nil
	}
	if cap(scratch) > keepScratch {
		scratch = nil
	}
	*r = Request{Ext: ext, scratch: scratch}
}

const (
	keepExt     = 128
	keepScratch = 16 << 10
)
