package remoting

import "encoding/binary"

const lengthLen = 4

// AppendResponse appends the complete frame of a response in header form t, and returns the longer dst.
func AppendResponse(dst []byte, t SerializeType, r *Response) []byte {
	return append(AppendResponseHeader(dst, t, r, len(r.Body)), r.Body...)
}

// AppendResponseHeader appends everything of a response's frame but its body, of which it writes that bodyLen
// bytes will follow: the caller may then write a large body from where it lies. r.Body is not looked at.
func AppendResponseHeader(dst []byte, t SerializeType, r *Response, bodyLen int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	if t == RocketMQ {
		dst = appendBinaryResponse(dst, r)
	} else {
		dst = appendJSONResponse(dst, r)
	}
	return finishFrame(dst, start, t, bodyLen)
}

// finishFrame fills the two words before the header that starts at start+8.
func finishFrame(dst []byte, start int, t SerializeType, bodyLen int) []byte {
	header := len(dst) - start - lengthLen - wordLen
	binary.BigEndian.PutUint32(dst[start:], uint32(wordLen+header+bodyLen))
	binary.BigEndian.PutUint32(dst[start+lengthLen:], uint32(t)<<24|uint32(header)&0xFFFFFF)
	return dst
}
