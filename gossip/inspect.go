package gossip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/epitaph-mq/epitaph/digest"
)

// Types of memberlist's messages (memberlist v0.7.0, net.go).
const (
	pingType     = 0
	pushPullType = 6
	compoundType = 7
	userType     = 8
	compressType = 9
	encryptType  = 10
	crcType      = 12
)

const (
	// maxMembers bounds the members that a state tells of: memberlist makes room for as many as its header says.
	maxMembers = 4096
	// maxHeader is more than the header of a stream takes.
	maxHeader = 256
	// crcHead is the type and the checksum before what it protects.
	crcHead = 5
	// answerBytes is what a ping is answered with, label aside.
	answerBytes = 56
)

// inspectPacket looks at what memberlist would read of a packet, decrypted. No member compresses (see memberlistConfig), and none
// puts a compound into another: who does wants one packet to become many megabytes. answers says where a ping may have its
// answer sent; nil is anywhere.
func inspectPacket(b []byte, answers func(netip.Addr) bool) error {
	if len(b) >= crcHead && b[0] == crcType {
		b = b[crcHead:]
	}
	if len(b) == 0 {
		return fmt.Errorf("%w: a packet without a message", errFormat)
	}
	if b[0] != compoundType {
		return inspectPart(b, answers)
	}
	b = b[1:]
	if len(b) == 0 || len(b)-1 < 2*int(b[0]) {
		return fmt.Errorf("%w: a compound message that is cut off", errFormat)
	}
	n := int(b[0])
	lengths, parts := b[1:1+2*n], b[1+2*n:]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		size := int(binary.BigEndian.Uint16(lengths))
		if size == 0 || size > len(parts) {
			return fmt.Errorf("%w: a compound message that is cut off", errFormat)
		}
		if parts[0] == compoundType {
			return fmt.Errorf("%w: a compound message in another", errSize)
		}
		if err := inspectPart(parts[:size], answers); err != nil {
			return err
		}
		parts = parts[size:]
	}
	return nil
}

func inspectPart(b []byte, answers func(netip.Addr) bool) error {
	switch b[0] {
	case compressType:
		return fmt.Errorf("%w: a compressed message", errSize)
	case pingType:
		if answers == nil {
			return nil
		}
		var p struct {
			SourceAddr []byte
		}
		if err := codec.NewDecoderBytes(b[1:], &codec.MsgpackHandle{}).Decode(&p); err != nil {
			return fmt.Errorf("%w: ping: %w", errFormat, err)
		}
		if len(b) < answerBytes {
			return fmt.Errorf("%w: a ping that is smaller than its answer", errSize)
		}
		if to, named := netip.AddrFromSlice(p.SourceAddr); named && !answers(to.Unmap()) {
			return fmt.Errorf("%w: a ping whose answer would go to a third party", errFormat)
		}
	}
	return nil
}

// errMore says that the header of a stream is not there yet.
var errMore = errors.New("more bytes are needed")

// inspectStream looks at how the message of a stream begins, decrypted: at the sizes that memberlist makes room for, before
// it knows whether they come. whole says that there is no more than b.
func inspectStream(b []byte, whole bool) error {
	if len(b) == 0 {
		if whole {
			return fmt.Errorf("%w: a stream without a message", errFormat)
		}
		return errMore
	}
	var header struct {
		Nodes, UserStateLen, UserMsgLen int
	}
	switch b[0] {
	case compressType:
		return fmt.Errorf("%w: a compressed stream", errSize)
	case pushPullType, userType:
		in := bytes.NewReader(b[1:min(len(b), maxHeader)])
		if err := codec.NewDecoder(in, &codec.MsgpackHandle{}).Decode(&header); err != nil {
			if !whole && len(b) < maxHeader && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
				return errMore
			}
			return fmt.Errorf("%w: header: %w", errFormat, err)
		}
	}
	most := maxState
	if whole {
		most = min(most, len(b))
	}
	if header.Nodes < 0 || header.Nodes > maxMembers || whole && header.Nodes > len(b) {
		return fmt.Errorf("%w: a state of %d members", errSize, header.Nodes)
	}
	if header.UserStateLen < 0 || header.UserStateLen > most {
		return fmt.Errorf("%w: a state of %d bytes", errSize, header.UserStateLen)
	}
	if header.UserMsgLen < 0 || header.UserMsgLen > max(digest.MaxStream, maxState) || whole && header.UserMsgLen > len(b) {
		return fmt.Errorf("%w: a message of %d bytes", errSize, header.UserMsgLen)
	}
	return nil
}
