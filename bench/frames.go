package bench

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
)

// Requests are built once with numbers of a fixed width, so that asking again is patching digits in place.
const (
	opaqueBase   = 1_000_000_000 // every opaque has ten digits
	opaqueMask   = 1<<29 - 1     // and fits an int32
	opaqueDigits = 10
	topicDigits  = 7
)

// frame is a request whose opaque (and topic) digits are patched before it is sent.
type frame struct {
	bytes    []byte
	opaqueAt int
	topicAt  int
}

// routeFrame asks for the route of a topic whose name ends in topicDigits digits, as a current client does.
func routeFrame(prefix string) frame {
	header := `{"code":` + strconv.Itoa(int(remoting.GetRouteInfoByTopic)) +
		`,"extFields":{"acceptStandardJsonOnly":"true","topic":"` + prefix
	f := frame{topicAt: 8 + len(header)}
	header += "0000000" + `"},"flag":0,"language":"JAVA","opaque":`
	f.opaqueAt = 8 + len(header)
	header += "1000000000" + `,"serializeTypeCurrentRPC":"JSON","version":` + strconv.Itoa(int(mq.V5_5_0)) + `}`
	f.bytes = appendFrame(nil, header, nil)
	return f
}

// ask appends the frame for one topic and sequence number.
func (f *frame) ask(out []byte, topic, seq uint32) []byte {
	at := len(out)
	out = append(out, f.bytes...)
	putDigits(out[at+f.topicAt:at+f.topicAt+topicDigits], topic)
	putDigits(out[at+f.opaqueAt:at+f.opaqueAt+opaqueDigits], opaqueBase+seq&opaqueMask)
	return out
}

func appendFrame(out []byte, header string, body []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(4+len(header)+len(body)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(header))) // type byte 0: JSON
	out = append(out, header...)
	return append(out, body...)
}

// putDigits writes n right-aligned with leading zeros.
func putDigits(dst []byte, n uint32) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// header is a request header with extFields, in the order given.
func header(code int32, seq uint32, ext ...string) string {
	h := make([]byte, 0, 512)
	h = append(h, `{"code":`...)
	h = strconv.AppendInt(h, int64(code), 10)
	h = append(h, `,"extFields":{`...)
	for i := 0; i+1 < len(ext); i += 2 {
		if i > 0 {
			h = append(h, ',')
		}
		h = strconv.AppendQuote(h, ext[i])
		h = append(h, ':')
		h = strconv.AppendQuote(h, ext[i+1])
	}
	h = append(h, `},"flag":0,"language":"JAVA","opaque":`...)
	h = strconv.AppendUint(h, uint64(opaqueBase+seq&opaqueMask), 10)
	h = append(h, `,"serializeTypeCurrentRPC":"JSON","version":`...)
	h = strconv.AppendInt(h, int64(mq.V5_5_0), 10)
	return string(append(h, '}'))
}

// appendRegister appends the registration of a with the given body, as a 5.x broker without compression sends it.
func appendRegister(out []byte, a address, seq uint32, body []byte) []byte {
	crc := crc32.ChecksumIEEE(body) & 0x7fffffff
	return appendFrame(out, header(remoting.RegisterBroker, seq,
		"bodyCrc32", strconv.FormatUint(uint64(crc), 10), "brokerAddr", a.addr, "brokerId", strconv.Itoa(a.id),
		"brokerName", a.broker, "clusterName", clusterName, "compressed", "false",
		"enableActingMaster", "false", "haServerAddr", a.ha), body)
}

// appendHeartbeat appends code 904 for a, which is answered with success whether a is known or not.
func appendHeartbeat(out []byte, a address, seq uint32) []byte {
	return appendFrame(out, header(remoting.BrokerHeartbeat, seq,
		"brokerAddr", a.addr, "brokerId", strconv.Itoa(a.id), "brokerName", a.broker, "clusterName", clusterName), nil)
}

// appendUnregister appends code 104 for a.
func appendUnregister(out []byte, a address, seq uint32) []byte {
	return appendFrame(out, header(remoting.UnregisterBroker, seq,
		"brokerAddr", a.addr, "brokerId", strconv.Itoa(a.id), "brokerName", a.broker, "clusterName", clusterName), nil)
}
