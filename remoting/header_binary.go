package remoting

import (
	"encoding/binary"
	"errors"
)

// Errors of binary headers.
var (
	ErrRemarkLength = errors.New("remark length is out of range")
	ErrExtLength    = errors.New("extFields length exceeds the header")
)

// binaryReader reads big-endian values; ok turns false for good when there are not enough bytes.
type binaryReader struct {
	data []byte
	pos  int
	bad  bool
}

func (b *binaryReader) take(n int) []byte {
	if n < 0 || n > len(b.data)-b.pos {
		b.bad = true
		b.pos = len(b.data)
		return nil
	}
	b.pos += n
	return b.data[b.pos-n : b.pos : b.pos]
}

func (b *binaryReader) int16() int32 {
	if p := b.take(2); p != nil {
		return int32(int16(binary.BigEndian.Uint16(p)))
	}
	return 0
}

func (b *binaryReader) int32() int32 {
	if p := b.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

// decodeBinary reads the header at the start of rest, which goes to the end of the frame, and returns how
// many bytes it took. Like Java's reader (RocketMQSerializable) it is not stopped by the header's length,
// which only limits the lengths inside; r.HeaderLen must be set.
func (r *Request) decodeBinary(rest []byte) (int, error) {
	b := binaryReader{data: rest}
	r.Code = b.int16()
	r.Language = UnknownLanguage
	if p := b.take(1); p != nil && p[0] < languages {
		r.Language = Language(p[0])
	}
	r.Version = b.int16()
	r.Opaque = b.int32()
	r.Flag = b.int32()
	remark := int(b.int32())
	if b.bad {
		return 0, errBinaryShort
	}
	if remark < 0 || remark > r.HeaderLen {
		return 0, ErrRemarkLength
	}
	if remark > 0 {
		r.Remark = b.take(remark)
	}
	if ext := int(b.int32()); !b.bad && ext > 0 {
		if ext > r.HeaderLen {
			return 0, ErrExtLength
		}
		if err := r.decodeBinaryExt(&b, ext); err != nil {
			return 0, err
		}
	}
	if b.bad {
		return 0, errBinaryShort
	}
	return b.pos, nil
}

// decodeBinaryExt reads entries until length bytes are used up; the last one may go beyond. A length of zero
// is null, for keys as for values.
func (r *Request) decodeBinaryExt(b *binaryReader, length int) error {
	r.HasExt = true
	for end := b.pos + length; b.pos < end && !b.bad; {
		if len(r.Ext) == MaxExtFields {
			return ErrManyExt
		}
		var f Field
		if n := int(b.int16()); n != 0 && !b.bad {
			f.Key = b.limited(n, length)
		}
		if n := int(b.int32()); n != 0 && !b.bad {
			f.Value = b.limited(n, length)
		}
		r.Ext = append(r.Ext, f)
	}
	return nil
}

// limited takes n bytes if n is no more than the limit.
func (b *binaryReader) limited(n, limit int) []byte {
	if n > limit {
		n = -1
	}
	return b.take(n)
}

func appendBinaryFixed(dst []byte, code int32, l Language, version, opaque, flag int32) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	dst = append(dst, byte(l))
	dst = binary.BigEndian.AppendUint16(dst, uint16(version))
	dst = binary.BigEndian.AppendUint32(dst, uint32(opaque))
	return binary.BigEndian.AppendUint32(dst, uint32(flag))
}

func appendBinaryResponse(dst []byte, r *Response) []byte {
	dst = appendBinaryFixed(dst, r.Code, Java, Version, r.Opaque, FlagResponse)
	dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(r.Remark))), r.Remark...)
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, p := range r.Ext {
		dst = appendBinaryEntry(dst, p.Key, p.Value)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// appendBinaryEntry leaves out a key that its 16-bit length cannot tell.
func appendBinaryEntry(dst []byte, key, value string) []byte {
	if len(key) > 1<<15-1 {
		return dst
	}
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(key))), key...)
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(value))), value...)
}

func appendBinaryCommand(dst []byte, c *Command) []byte {
	dst = appendBinaryFixed(dst, c.Code, c.Language, c.Version, c.Opaque, c.Flag)
	dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(c.Remark))), c.Remark...)
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, key := range c.sortedKeys() {
		dst = appendBinaryEntry(dst, key, c.Ext[key])
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
