package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

const maxFrame = 16 << 20

var errNoNameServer = errors.New("what came back is no remoting frame, so this is not a NameServer")

// answer is one response, aliasing the read buffer.
type answer struct {
	seq    uint32
	code   int
	header []byte
	body   []byte
}

// answerReader takes responses apart. It remembers where in the header the code and the opaque were last time
// and only looks there, so that a response costs a few nanoseconds; anywhere else they are searched.
type answerReader struct {
	codeAt, opaqueAt int
}

const (
	codeName   = `"code":`
	opaqueName = `"opaque":`
)

// next returns the first answer in buf and its size; size 0 says that buf holds no complete one, and need how
// many bytes it will have (0: not known yet).
func (r *answerReader) next(buf []byte) (a answer, size, need int, err error) {
	if len(buf) < 8 {
		return answer{}, 0, 0, nil
	}
	length := int(binary.BigEndian.Uint32(buf))
	word := binary.BigEndian.Uint32(buf[4:])
	headerLen := int(word & 0xffffff)
	if length < 4 || length > maxFrame || word>>24 != 0 || headerLen > length-4 {
		return answer{}, 0, 0, errNoNameServer
	}
	size = 4 + length
	if len(buf) < size {
		return answer{}, 0, size, nil
	}
	a.header, a.body = buf[8:8+headerLen], buf[8+headerLen:size]
	opaque, ok := r.number(a.header, opaqueName, &r.opaqueAt)
	if !ok {
		return answer{}, 0, 0, fmt.Errorf("answer without opaque: %w", errNoNameServer)
	}
	a.seq = uint32(opaque - opaqueBase)
	if a.code, ok = r.number(a.header, codeName, &r.codeAt); !ok {
		return answer{}, 0, 0, fmt.Errorf("answer without code: %w", errNoNameServer)
	}
	return a, size, size, nil
}

// number reads the digits behind name, looking at *at first.
func (r *answerReader) number(header []byte, name string, at *int) (int, bool) {
	if *at < len(name) || *at >= len(header) || string(header[*at-len(name):*at]) != name {
		i := bytes.Index(header, []byte(name))
		if i < 0 {
			return 0, false
		}
		*at = i + len(name)
	}
	n, digits := 0, 0
	for _, c := range header[*at:] {
		if c -= '0'; c > 9 || digits > opaqueDigits {
			break
		}
		n = n*10 + int(c)
		digits++
	}
	return n, digits > 0
}

// failure says in words what a failed answer holds.
func (a answer) failure() error {
	return fmt.Errorf("code %s: %s", strconv.Itoa(a.code), a.header)
}
