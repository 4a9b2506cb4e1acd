package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every read and write of a test's connection.
const patience = time.Minute

// client is one connection to a server. Everything it sends is built here, byte by byte.
type client struct {
	t testing.TB
	net.Conn
	r      *bufio.Reader
	opaque int32
}

// dial opens a connection that is closed when t ends.
func (s *server) dial(t testing.TB) *client {
	t.Helper()
	c, err := s.tryDial(t)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return c
}

func (s *server) tryDial(t testing.TB) (*client, error) {
	conn, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return over(t, conn), nil
}

// over makes a client of any connection, e.g. a TLS one.
func over(t testing.TB, conn net.Conn) *client {
	return &client{t: t, Conn: conn, r: bufio.NewReader(conn), opaque: 100}
}

// warm is a connection that has already had one good answer, so that what follows is no first byte.
func (s *server) warm(t testing.TB) *client {
	t.Helper()
	c := s.dial(t)
	c.call(request{code: 206})
	return c
}

// request is what the tests vary. The zero value of version is 479 and of language JAVA.
type request struct {
	code     int
	version  int
	flag     int
	language string
	ext      map[string]string // nil: no extFields
	body     []byte
}

func (r request) header(opaque int32) string {
	if r.version == 0 {
		r.version = 479
	}
	if r.language == "" {
		r.language = "JAVA"
	}
	ext := ""
	if r.ext != nil {
		ext = `"extFields":` + quote(r.ext) + `,`
	}
	return fmt.Sprintf(`{"code":%d,%s"flag":%d,"language":"%s","opaque":%d,"serializeTypeCurrentRPC":"JSON","version":%d}`,
		r.code, ext, r.flag, r.language, opaque, r.version)
}

// quote is v as JSON.
func quote(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// frame is a whole frame: type is the top byte of the header word.
func frame(typ byte, header string, body []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)+len(body)))
	out = binary.BigEndian.AppendUint32(out, uint32(typ)<<24|uint32(len(header)))
	return append(append(out, header...), body...)
}

// jsonFrame is a frame with a JSON header and no body.
func jsonFrame(header string) []byte { return frame(0, header, nil) }

// write sends raw bytes.
func (c *client) write(raw ...[]byte) {
	c.t.Helper()
	if err := c.tryWrite(raw...); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *client) tryWrite(raw ...[]byte) error {
	c.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.Conn.Write(bytes.Join(raw, nil))
	return err
}

// answer is one frame that came back.
type answer struct {
	typ    byte
	header string // as it came
	body   []byte

	Code                    int
	Flag                    int
	Language                string
	Opaque                  int32
	Remark                  *string
	ExtFields               map[string]string
	SerializeTypeCurrentRPC string
	Version                 int
}

// remark is the remark, or "" when there is none.
func (a *answer) remark() string {
	if a.Remark == nil {
		return ""
	}
	return *a.Remark
}

func (a *answer) String() string { return fmt.Sprintf("%s %.600q", a.header, a.body) }

// read waits for the next frame.
func (c *client) read() *answer {
	c.t.Helper()
	a, err := c.tryRead(patience)
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return a
}

func (c *client) tryRead(limit time.Duration) (*answer, error) {
	c.SetReadDeadline(time.Now().Add(limit))
	var head [8]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	length, word := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
	size := word & 0xffffff
	if length > 64<<20 || length < 4+size {
		return nil, fmt.Errorf("bad frame: length %d, header word %#x", length, word)
	}
	rest := make([]byte, length-4)
	if _, err := io.ReadFull(c.r, rest); err != nil {
		return nil, err
	}
	a := &answer{typ: byte(word >> 24), header: string(rest[:size]), body: rest[size:]}
	if a.typ == 0 {
		if err := json.Unmarshal(rest[:size], a); err != nil {
			return nil, fmt.Errorf("header %q: %w", a.header, err)
		}
	}
	return a, nil
}

// send writes a request with a new opaque and returns that.
func (c *client) send(r request) int32 {
	c.t.Helper()
	c.opaque++
	c.write(frame(0, r.header(c.opaque), r.body))
	return c.opaque
}

// call sends a request and waits for its answer.
func (c *client) call(r request) *answer {
	c.t.Helper()
	opaque := c.send(r)
	a := c.read()
	if a.Opaque != opaque || a.Flag != 1 {
		c.t.Fatalf("code %d: sent opaque %d, answer is %s", r.code, opaque, a)
	}
	return a
}

// ok is call for a request that must succeed.
func (c *client) ok(r request) *answer {
	c.t.Helper()
	a := c.call(r)
	if a.Code != 0 {
		c.t.Fatalf("code %d: %s", r.code, a)
	}
	return a
}

// refused is call for a request that must be answered with a code and, unless "", a remark.
func (c *client) refused(r request, code int, remark string) *answer {
	c.t.Helper()
	a := c.call(r)
	if a.Code != code || (remark != "" && a.remark() != remark) {
		c.t.Fatalf("code %d: want answer %d %q, got %s", r.code, code, remark, a)
	}
	return a
}

// exchange sends raw bytes and returns the header of the answer.
func (c *client) exchange(raw []byte) string {
	c.t.Helper()
	c.write(raw)
	return c.read().header
}

// usable proves that the connection still works.
func (c *client) usable() {
	c.t.Helper()
	c.ok(request{code: 206})
}

// closed waits until the server closes the connection without another byte.
func (c *client) closed() {
	c.t.Helper()
	if err := c.closedWithin(patience); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) closedWithin(limit time.Duration) error {
	c.SetReadDeadline(time.Now().Add(limit))
	b, err := c.r.ReadByte()
	var timeout net.Error
	switch {
	case err == nil:
		return fmt.Errorf("want a closed connection, got byte %#x", b)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("connection still open after %s", limit)
	}
	return nil
}

// unique is a name that no other row of this run uses.
func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, counter.Add(1)) }

var counter atomic.Int64

// address is a broker address that no other row of this run uses and nobody listens on.
func address() string {
	n := counter.Add(1)
	return fmt.Sprintf("127.9.%d.%d:10911", n/250, n%250+1)
}

// want fails t unless got and wanted text are the same.
func want(t testing.TB, what, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Fatalf("%s:\n got %s\nwant %s", what, got, wanted)
	}
}

// has fails t unless text contains part.
func has(t testing.TB, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Fatalf("%s: %q is not in %s", what, part, text)
	}
}
