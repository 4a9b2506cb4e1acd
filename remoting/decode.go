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
	switch word >> 24 {
	case uint32(JSON):
		if err := r.decodeJSON(rest[:r.HeaderLen]); err != nil {
			return fmt.Errorf("decode json header: %w", err)
		}
	case uint32(RocketMQ):
		n, err := r.decodeBinary(rest)
		if err != nil {
			return fmt.Errorf("decode binary header: %w", err)
		}
		// Java takes as many bytes as are left beside the header length, from where its reader stopped:
		// surplus header bytes push the body, whose own end is then cut off.
		body = rest[n:]
		body = body[:min(len(body), len(rest)-r.HeaderLen)]
	default:
		return fmt.Errorf("%w: %d", ErrHeaderType, word>>24)
	}
	if len(body) > 0 {
		r.Body = body
	}
	return nil
}

func (r *Request) reset() {
	*r = Request{Ext: r.Ext[:0], scratch: r.scratch[:0]}
}
