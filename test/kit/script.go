package kit

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
)

// Script is a peer that answers as it is told: a NameServer or broker whose bytes are the test's.
type Script struct {
	Addr    string
	Version int // that its answers name
	Only    []int
	t       testing.TB
	mu      sync.Mutex // guards the following fields
	answers map[int]func(ext map[string]string) Reply
	asked   []Asked
}

// Asked is one request that came.
type Asked struct {
	Code int
	Ext  map[string]string
}

// Reply is an answer. With Hang it never comes; with Cut the connection ends in the middle of it.
type Reply struct {
	Code      int
	Remark    string
	Body      []byte
	Hang, Cut bool
}

// OK is a successful reply.
func OK(body string) Reply { return Reply{Body: []byte(body)} }

// NewScript listens on loopback until the test ends, which fails if a request comes whose code is not among only.
func NewScript(t testing.TB, version int, only ...int) *Script {
	s := &Script{Version: version, Only: only, t: t, answers: map[int]func(map[string]string) Reply{}}
	s.Addr = Listen(t, s.serve)
	return s
}

// On says how a code is answered from now on. What nothing is said about is answered with code 3.
func (s *Script) On(code int, answer func(ext map[string]string) Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[code] = answer
}

// Says answers a code with one body.
func (s *Script) Says(code int, body string) {
	s.On(code, func(map[string]string) Reply { return OK(body) })
}

// Requests are those that came so far.
func (s *Script) Requests() []Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *Script) serve(conn net.Conn) {
	for {
		frame, err := ReadFrame(conn)
		if err != nil {
			return
		}
		if !slices.Contains(s.Only, frame.Code) {
			s.t.Errorf("a request with code %d came, which this must not send", frame.Code)
		}
		s.mu.Lock()
		s.asked = append(s.asked, Asked{frame.Code, frame.ExtFields})
		answer := s.answers[frame.Code]
		s.mu.Unlock()
		r := Reply{Code: 3, Remark: "not supported"}
		if answer != nil {
			r = answer(frame.ExtFields)
		}
		if r.Hang {
			continue
		}
		header := fmt.Sprintf(`{"code":%d,"flag":1,"language":"JAVA","opaque":%d,"remark":%s,"serializeTypeCurrentRPC":"JSON","version":%d}`,
			r.Code, frame.Opaque, Quote(r.Remark), s.Version)
		bytes := Frame(0, header, r.Body)
		if r.Cut {
			bytes = bytes[:len(bytes)/2]
		}
		if _, err := conn.Write(bytes); err != nil || r.Cut {
			return
		}
	}
}
