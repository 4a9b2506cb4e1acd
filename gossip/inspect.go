package gossip

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/epitaph-mq/epitaph/digest"
)

// Types of memberlist's messages (memberlist v0.7.0, net.go).
const (
	pingType     = 0
	indirectType = 1
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
	// maxPacket is more than any packet holds, decompressed.
	maxPacket = 64 << 10
	// maxHeader is more than the header of a stream takes.
	maxHeader = 256
	// crcHead is the type and the checksum before what it protects.
	crcHead = 5
	// answerBytes is what a ping is answered with, label aside.
	answerBytes = 56
)

// asker is where a packet comes from that anybody may have sent, and who may be sent something for it.
type asker struct {
	from   netip.AddrPort
	member func(netip.AddrPort) bool
}

// inspectPacket looks at what memberlist would read of a packet, decrypted. Nobody puts a compound into another, and what is
// compressed, as former programs did (see memberlistConfig), stays small: who does otherwise wants one packet to become many
// megabytes. Without keys (by is not nil) a packet has one ping, which is answered to where it came from: memberlist would answer
// to the address that it names, so that name is crossed out in b. One that is to be passed on is for a member only.
func inspectPacket(b []byte, by *asker) error {
	sent, sum := len(b), []byte(nil)
	if len(b) >= crcHead && b[0] == crcType {
		sum, b = b[1:crcHead], b[crcHead:]
	}
	whole, inside := b, true
	right := by != nil && sum != nil && binary.BigEndian.Uint32(sum) == crc32.ChecksumIEEE(whole)
	if len(b) > 0 && b[0] == compressType {
		var err error
		if b, err = unpacked(bytes.NewReader(b[1:]), maxPacket); err != nil {
			return err
		}
		inside = false
	}
	if len(b) == 0 {
		return fmt.Errorf("%w: a packet without a message", errFormat)
	}
	parts := [][]byte{b}
	if b[0] == compoundType {
		var err error
		if parts, err = partsOf(b[1:]); err != nil {
			return err
		}
	}
	pings := 0
	for _, part := range parts {
		switch part[0] {
		case compoundType, compressType:
			return fmt.Errorf("%w: a compound or compressed message in another", errSize)
		case pingType, indirectType:
			if by == nil {
				continue
			}
			if pings++; pings > 1 || sent < answerBytes {
				return fmt.Errorf("%w: pings that are smaller than their answers", errSize)
			}
			crossed, err := by.inspectPing(part)
			if err != nil {
				return err
			}
			if crossed && !inside {
				return fmt.Errorf("%w: a compressed ping that names another source", errFormat)
			}
			if crossed && right {
				binary.BigEndian.PutUint32(sum, crc32.ChecksumIEEE(whole))
			}
		}
	}
	return nil
}

// partsOf are the messages of a compound one, none of them empty.
func partsOf(b []byte) (parts [][]byte, err error) {
	if len(b) == 0 || len(b)-1 < 2*int(b[0]) {
		return nil, fmt.Errorf("%w: a compound message that is cut off", errFormat)
	}
	n := int(b[0])
	lengths, rest := b[1:1+2*n], b[1+2*n:]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		size := int(binary.BigEndian.Uint16(lengths))
		if size == 0 || size > len(rest) {
			return nil, fmt.Errorf("%w: a compound message that is cut off", errFormat)
		}
		parts, rest = append(parts, rest[:size]), rest[size:]
	}
	return parts, nil
}

// sourceField is what a ping names its source by, in memberlist's maps.
const sourceField = "SourceAddr"

// inspectPing looks at a ping, its type included, and crosses out a source that is not where it came from.
func (a *asker) inspectPing(b []byte) (crossed bool, err error) {
	for {
		var p struct {
			SourceAddr, Target []byte
			SourcePort, Port   uint16
		}
		if err := codec.NewDecoderBytes(b[1:], &codec.MsgpackHandle{}).Decode(&p); err != nil {
			return crossed, fmt.Errorf("%w: ping: %w", errFormat, err)
		}
		if target, _ := netip.AddrFromSlice(p.Target); b[0] == indirectType && !a.member(netip.AddrPortFrom(target.Unmap(), p.Port)) {
			return crossed, fmt.Errorf("%w: a ping to be passed on to a third party", errFormat)
		}
		if source, _ := netip.AddrFromSlice(p.SourceAddr); len(p.SourceAddr) == 0 || netip.AddrPortFrom(source.Unmap(), p.SourcePort) == a.from {
			return crossed, nil
		}
		at := bytes.Index(b, []byte(sourceField))
		if at < 0 || crossed {
			return crossed, fmt.Errorf("%w: a ping whose answer would go to a third party", errFormat)
		}
		b[at], crossed = '-', true // a field that memberlist does not know
	}
}

// unpacked is what a compressed message holds, at most that many bytes.
func unpacked(in io.Reader, most int) ([]byte, error) {
	var c struct {
		Algo uint8
		Buf  []byte
	}
	if err := codec.NewDecoder(in, &codec.MsgpackHandle{}).Decode(&c); err != nil {
		return nil, fmt.Errorf("%w: compressed: %w", errFormat, err)
	}
	reader := lzw.NewReader(bytes.NewReader(c.Buf), lzw.LSB, 8)
	defer reader.Close()
	b, err := io.ReadAll(io.LimitReader(reader, int64(most)+1))
	switch {
	case len(b) > most:
		return nil, fmt.Errorf("%w: more than %d bytes when decompressed", errSize, most)
	case c.Algo != 0 || err != nil || len(b) == 0:
		return nil, fmt.Errorf("%w: a compressed message that nobody can read", errFormat)
	}
	return b, nil
}

// inspectStream looks at how the message of a stream begins, decrypted: at the sizes that memberlist makes room for, before
// it knows whether they come. It reads no further than it must, and nothing twice: who sends byte by byte must not have all of
// it looked at with each. size is how many bytes there are; negative: nobody knows.
func inspectStream(in io.Reader, size int) error {
	var kind [1]byte
	if _, err := io.ReadFull(in, kind[:]); err != nil {
		return fmt.Errorf("%w: a stream without a message", errFormat)
	}
	var header struct {
		Nodes, UserStateLen, UserMsgLen int
	}
	switch kind[0] {
	case compressType:
		inner, err := unpacked(io.LimitReader(in, maxSealed), maxSealed)
		if err != nil {
			return err
		}
		if inner[0] == compressType {
			return fmt.Errorf("%w: a compressed message in another", errSize)
		}
		return inspectStream(bytes.NewReader(inner), len(inner))
	case pushPullType, userType:
		if err := codec.NewDecoder(io.LimitReader(in, maxHeader-1), &codec.MsgpackHandle{}).Decode(&header); err != nil {
			return fmt.Errorf("%w: header: %w", errFormat, err)
		}
	}
	most, whole := maxState, size >= 0
	if whole {
		most = min(most, size)
	}
	if header.Nodes < 0 || header.Nodes > maxMembers || whole && header.Nodes > size {
		return fmt.Errorf("%w: a state of %d members", errSize, header.Nodes)
	}
	if header.UserStateLen < 0 || header.UserStateLen > most {
		return fmt.Errorf("%w: a state of %d bytes", errSize, header.UserStateLen)
	}
	if header.UserMsgLen < 0 || header.UserMsgLen > max(digest.MaxStream, maxState) || whole && header.UserMsgLen > size {
		return fmt.Errorf("%w: a message of %d bytes", errSize, header.UserMsgLen)
	}
	return nil
}
