package kit

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/mq"
)

// Request is what tests vary of a request with a JSON header. It is written from the protocol's description and not by our
// own codec, so that a test can find a fault of that.
type Request struct {
	Code     int
	Version  int // 0: V5_5_0
	Flag     int
	Language string            // "": JAVA
	Ext      map[string]string // nil: no extFields
	Body     []byte
}

// Versions that brokers and clients name themselves by.
const (
	Version5 = int(mq.V5_5_0)
	Version4 = int(mq.V4_9_4)
)

// Header is the request's header as Java writes it, members in alphabetical order.
func (r Request) Header(opaque int32) string {
	if r.Version == 0 {
		r.Version = Version5
	}
	if r.Language == "" {
		r.Language = "JAVA"
	}
	ext := ""
	if r.Ext != nil {
		ext = `"extFields":` + Quote(r.Ext) + `,`
	}
	return fmt.Sprintf(`{"code":%d,%s"flag":%d,"language":"%s","opaque":%d,"serializeTypeCurrentRPC":"JSON","version":%d}`,
		r.Code, ext, r.Flag, r.Language, opaque, r.Version)
}

// Frame is the whole frame of the request.
func (r Request) Frame(opaque int32) []byte { return Frame(0, r.Header(opaque), r.Body) }

// Quote is v as JSON; v must be of strings, numbers, lists and maps.
func Quote(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Frame is a whole frame. typ is the top byte of the header word: 0 for a JSON header, 1 for a binary one.
func Frame(typ byte, header string, body []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)+len(body)))
	out = binary.BigEndian.AppendUint32(out, uint32(typ)<<24|uint32(len(header)))
	return append(append(out, header...), body...)
}

// JSONFrame is a frame with a JSON header and no body.
func JSONFrame(header string) []byte { return Frame(0, header, nil) }

// BinaryHeader is a header of type 1 (ROCKETMQ) with a map of entries that BinaryEntry made.
func BinaryHeader(code int16, language byte, version int16, opaque, flag int32, remark, entries string) string {
	h := binary.BigEndian.AppendUint16(nil, uint16(code))
	h = append(h, language)
	h = binary.BigEndian.AppendUint16(h, uint16(version))
	h = binary.BigEndian.AppendUint32(h, uint32(opaque))
	h = binary.BigEndian.AppendUint32(h, uint32(flag))
	h = binary.BigEndian.AppendUint32(h, uint32(len(remark)))
	h = append(h, remark...)
	h = binary.BigEndian.AppendUint32(h, uint32(len(entries)))
	return string(append(h, entries...))
}

// BinaryEntry is one entry of the extFields of a binary header.
func BinaryEntry(key, value string) string {
	e := binary.BigEndian.AppendUint16(nil, uint16(len(key)))
	e = append(e, key...)
	e = binary.BigEndian.AppendUint32(e, uint32(len(value)))
	return string(append(e, value...))
}

// ProxyV2 is the binary header by which a front end names the client it speaks for: command 0x20 LOCAL or 0x21 PROXY,
// family 0x11 TCP over IPv4 and so on.
func ProxyV2(command, family byte, payload ...byte) []byte {
	h := []byte{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, command, family}
	return append(append(h, byte(len(payload)>>8), byte(len(payload))), payload...)
}

// Answer is one frame as it came. The fields with capitals are those of a JSON header.
type Answer struct {
	Type   byte   `json:"-"`
	Header string `json:"-"` // as it came
	Body   []byte `json:"-"`

	Code                    int
	Flag                    int
	Language                string
	Opaque                  int32
	Remark                  *string
	ExtFields               map[string]string
	SerializeTypeCurrentRPC string
	Version                 int
}

// Text is the remark, or "" when there is none.
func (a *Answer) Text() string {
	if a.Remark == nil {
		return ""
	}
	return *a.Remark
}

func (a *Answer) String() string { return fmt.Sprintf("%s %.600q", a.Header, a.Body) }

// Raw is the frame again, to the byte.
func (a *Answer) Raw() []byte { return Frame(a.Type, a.Header, a.Body) }

// Failed is an error unless the code is 0. err, if there is one, wins.
func (a *Answer) Failed(err error) error {
	if err == nil && a.Code != 0 {
		err = fmt.Errorf("code %d: %s", a.Code, a.Text())
	}
	return err
}

// maxFrame is beyond what any program here writes.
const maxFrame = 64 << 20

// ReadFrame reads one frame, a request or an answer. A binary header is not decoded.
func ReadFrame(r io.Reader) (*Answer, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length, word := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
	size := word & 0xffffff
	if length > maxFrame || length < 4+size {
		return nil, fmt.Errorf("bad frame: length %d, header word %#x", length, word)
	}
	rest := make([]byte, length-4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, err
	}
	a := &Answer{Type: byte(word >> 24), Header: string(rest[:size]), Body: rest[size:]}
	if a.Type == 0 {
		if err := json.Unmarshal(rest[:size], a); err != nil {
			return nil, fmt.Errorf("header %q: %w", a.Header, err)
		}
	}
	return a, nil
}

var bareKey = regexp.MustCompile(`([{,])(-?\d+):`)

// Standard is a body with its bare numeric keys quoted, as the default dialect has them. No string of the tests looks
// like one.
func Standard(body []byte) []byte { return bareKey.ReplaceAll(body, []byte(`$1"$2":`)) }

// Decode reads a body of either dialect of what must have succeeded. err, if there is one, wins.
func (a *Answer) Decode(err error, into any) error {
	if err := a.Failed(err); err != nil {
		return err
	}
	if err := json.Unmarshal(Standard(a.Body), into); err != nil {
		return fmt.Errorf("body %.600q: %w", a.Body, err)
	}
	return nil
}

// ClusterInfo asks for all brokers.
var ClusterInfo = Request{Code: 106}

// Brokers reads the answer to ClusterInfo: broker name -> id -> address. err, if there is one, wins.
func (a *Answer) Brokers(err error) (map[string]map[string]string, error) {
	var body struct {
		BrokerAddrTable map[string]struct{ BrokerAddrs map[string]string }
	}
	if err := a.Decode(err, &body); err != nil {
		return nil, err
	}
	all := make(map[string]map[string]string, len(body.BrokerAddrTable))
	for name, b := range body.BrokerAddrTable {
		all[name] = b.BrokerAddrs
	}
	return all, nil
}

// SortLists orders every list of a JSON value by the text of its elements, for Java's own order is mostly that of hash maps.
func SortLists(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = SortLists(v[i])
		}
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	case map[string]any:
		for k := range v {
			v[k] = SortLists(v[k])
		}
	}
	return v
}
