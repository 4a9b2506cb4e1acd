//go:build linux

package netns

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"sync/atomic"
	"time"
)

// Request codes that the tests send by themselves.
const (
	codeRegister   = 103
	codeUnregister = 104
	codeCluster    = 106
)

// answer is one decoded response frame.
type answer struct {
	Code   int    `json:"code"`
	Remark string `json:"remark"`
	Opaque int32  `json:"opaque"`
	Body   []byte `json:"-"`
}

// request is a frame with a JSON header, written against the protocol's description and not with our own codec.
type request struct {
	code     int
	version  int
	language string
	ext      map[string]string
	body     []byte
}

var opaques atomic.Int32

func (r request) frame() (bytes []byte, opaque int32) {
	opaque = opaques.Add(1)
	head, err := json.Marshal(map[string]any{
		"code": r.code, "language": r.language, "version": r.version, "opaque": opaque, "flag": 0, "extFields": r.ext,
		"serializeTypeCurrentRPC": "JSON",
	})
	if err != nil {
		panic(err) // strings and numbers only
	}
	bytes = binary.BigEndian.AppendUint32(nil, uint32(4+len(head)+len(r.body)))
	bytes = binary.BigEndian.AppendUint32(bytes, uint32(len(head)))
	return append(append(bytes, head...), r.body...), opaque
}

// ask sends a request and reads until its answer.
func ask(c net.Conn, r request, limit time.Duration) (answer, error) {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return answer{}, err
	}
	frame, opaque := r.frame()
	if _, err := c.Write(frame); err != nil {
		return answer{}, err
	}
	for {
		a, err := readAnswer(c)
		if err != nil || a.Opaque == opaque {
			return a, err
		}
	}
}

func readAnswer(conn io.Reader) (a answer, err error) {
	var lengths [8]byte
	if _, err := io.ReadFull(conn, lengths[:]); err != nil {
		return a, fmt.Errorf("read lengths of the answer: %w", err)
	}
	total := binary.BigEndian.Uint32(lengths[:4])
	head := binary.BigEndian.Uint32(lengths[4:]) & 0xffffff
	if total < 4+head || total > 1<<26 {
		return a, fmt.Errorf("answer of %d bytes with a header of %d", total, head)
	}
	rest := make([]byte, total-4)
	if _, err := io.ReadFull(conn, rest); err != nil {
		return a, fmt.Errorf("read answer: %w", err)
	}
	a.Body = rest[head:]
	if err := json.Unmarshal(rest[:head], &a); err != nil {
		return a, fmt.Errorf("decode header %s: %w", rest[:head], err)
	}
	return a, nil
}

// bareKey finds the unquoted numeric keys that code 106 is answered with.
var bareKey = regexp.MustCompile(`([{,])(-?\d+):`)

// brokerAddrs asks for all brokers: name -> id -> address.
func brokerAddrs(c net.Conn, limit time.Duration) (map[string]map[string]string, error) {
	a, err := ask(c, request{code: codeCluster, version: version5, language: "JAVA"}, limit)
	if err != nil {
		return nil, err
	}
	if a.Code != 0 {
		return nil, errors.New(a.Remark)
	}
	var body struct {
		BrokerAddrTable map[string]struct {
			BrokerAddrs map[string]string `json:"brokerAddrs"`
		} `json:"brokerAddrTable"`
	}
	if err := json.Unmarshal(bareKey.ReplaceAll(a.Body, []byte(`$1"$2":`)), &body); err != nil {
		return nil, fmt.Errorf("decode cluster info: %w", err)
	}
	all := make(map[string]map[string]string, len(body.BrokerAddrTable))
	for name, b := range body.BrokerAddrTable {
		all[name] = b.BrokerAddrs
	}
	return all, nil
}
