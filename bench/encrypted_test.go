package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// The ceiling of TLS answers like the plain one, whole batches of more than one record included.
func TestCeilingSpeaksTLS(t *testing.T) {
	if _, err := buildCeiling(t.Context(), t.TempDir()); errors.Is(err, ErrNoCompiler) {
		t.Skip("SKIPPED:", err)
	}
	servers, err := findEncrypted(t.Context(), Peers{}, Profiles()[0], t.TempDir())
	kit.Must(t, err)
	s := servers[0]
	if s.missing != nil {
		t.Skip("SKIPPED:", s.missing)
	}
	ch, err := startChild(t.Context(), s.cmd)
	kit.Must(t, err)
	defer ch.stop()
	for _, depth := range []int{1, 16, 64} {
		spec := cellSpec{kind: Route, connections: 4, depth: depth, duration: 300 * time.Millisecond, checkEvery: 1, seed: 1}
		got, err := fixedSession(ch.target, Profiles()[0]).measure(t.Context(), spec, NewProgress(nil))
		if err != nil || got.Answers == 0 || got.Wrong > 0 || got.Compared < got.Answers {
			t.Errorf("depth %d: %d answers, %d compared, %d wrong (%s): %v", depth, got.Answers, got.Compared, got.Wrong, got.FirstWrong, err)
		}
	}
	if _, err := dialCaller(t.Context(), ch.addr); err != nil {
		t.Error(err)
	} else if ch.target.tls = nil; ch.firstAnswer(t.Context()) == nil {
		t.Error("plain text is answered, too")
	}
}

// Over TLS a batch goes out in one record, and the next one waits for the last answer.
func TestBatchesGoOutWhole(t *testing.T) {
	id, err := newIdentity()
	kit.Must(t, err)
	pair, err := tls.X509KeyPair([]byte(id.cert), []byte(id.key))
	kit.Must(t, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	kit.Must(t, err)
	const depth = 5
	batches := make(chan []int, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		batches <- answerInTwo(conn)
	}()
	spec := cellSpec{kind: Route, connections: 1, depth: depth, duration: 100 * time.Millisecond, checkEvery: 1 << 30, seed: 1}
	_, err = runCell(t.Context(), target{addr: ln.Addr().String(), tls: id.client}, newExpectation(Profiles()[0]), true, spec, NewProgress(nil))
	kit.Must(t, errors.Join(err, ln.Close()))
	got := <-batches
	if i := slices.IndexFunc(got, func(n int) bool { return n != depth }); len(got) < 2 || i >= 0 {
		t.Errorf("records of %v requests", got)
	}
}

// answerInTwo answers the requests of each record in two records, and says how many each had.
func answerInTwo(conn net.Conn) (batches []int) {
	defer conn.Close()
	for in := make([]byte, 64<<10); ; {
		n, err := conn.Read(in)
		if err != nil {
			return batches
		}
		var answers [][]byte
		for rest := in[:n]; len(rest) >= 4; rest = rest[4+binary.BigEndian.Uint32(rest):] {
			at := bytes.Index(rest, []byte(opaqueName)) + len(opaqueName)
			answers = append(answers, appendFrame(nil, `{"code":0,"flag":1,"opaque":`+string(rest[at:at+opaqueDigits])+`}`, nil))
		}
		batches = append(batches, len(answers))
		for _, some := range [][][]byte{answers[:1], answers[1:]} {
			if _, err := conn.Write(slices.Concat(some...)); err != nil {
				return batches
			}
		}
	}
}

// A server that does not choose the one cipher suite is not measured.
func TestOtherSuitesAreRefused(t *testing.T) {
	id, err := newIdentity()
	kit.Must(t, err)
	pair, err := tls.X509KeyPair([]byte(id.cert), []byte(id.key))
	kit.Must(t, err)
	client, server := net.Pipe()
	go func() {
		_ = tls.Server(server, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}).Handshake()
		server.Close()
	}()
	old := id.client.Clone()
	old.MinVersion = tls.VersionTLS12
	if _, err := secured(t.Context(), client, old); err == nil || !strings.Contains(err.Error(), "TLS_AES_128_GCM_SHA256") {
		t.Error(err)
	}
}

// A sample belongs to the innermost function that a part knows, and inlined functions count.
func TestSharesOfAProfile(t *testing.T) {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	sample := func(ns int64, names ...string) {
		at := &profile.Location{ID: uint64(len(p.Location) + 1)}
		for _, name := range names {
			f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
			p.Function = append(p.Function, f)
			at.Line = append(at.Line, profile.Line{Function: f})
		}
		p.Location = append(p.Location, at)
		p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{at}, Value: []int64{1, ns}})
	}
	const own = "github.com/epitaph-mq/epitaph/"
	frames := []string{own + "remoting/rpc.(*Conn).frames", own + "remoting/rpc.(*Conn).feed", own + "remoting/rpc.(*Conn).readOnce", "internal/poll.(*FD).RawRead"}
	in := func(ns int64, names ...string) { sample(ns, append(names, frames...)...) }
	in(10, "internal/runtime/syscall/linux.Syscall6", "syscall.write", "internal/poll.(*FD).Write", "net.(*conn).Write", own+"remoting/rpc.(*wire).Write")
	in(20, "runtime.memmove", own+"remoting.AppendResponse")
	in(30, "memeqbody", own+"remoting.(*Repeats).again", own+"remoting.(*Repeats).Decode")
	in(15, "aeshashbody", own+"routes.(*Table).Route", own+"node.(*Node).getRoute")
	in(5)
	sample(12, "internal/runtime/syscall/linux.EpollWait", "runtime.netpoll", "runtime.findRunnable")
	sample(8, "what.nobody.knows")
	var b bytes.Buffer
	kit.Must(t, p.Write(&b))
	got, err := sharesOf(&b)
	kit.Must(t, err)
	for name, want := range map[string]float64{
		"system calls: write": 0.10, "encoding and copying": 0.20, "decoding": 0.30, "the table": 0.15,
		"the connection: frames, turns, accounts": 0.05, "system calls: epoll_wait": 0.12, otherPart: 0.08,
	} {
		if got[name] != want {
			t.Errorf("%s: %v, want %v", name, got[name], want)
		}
	}
	if _, err := sharesOf(strings.NewReader("no profile")); err == nil {
		t.Error("nonsense is read")
	}
}

// A machine without OpenSSL's headers is told what it lacks.
func TestMissingHeadersAreNamed(t *testing.T) {
	if _, err := buildCeiling(t.Context(), t.TempDir()); errors.Is(err, ErrNoCompiler) {
		t.Skip("SKIPPED:", err)
	}
	for name, source := range map[string]string{"openssl/none.h": "#include <openssl/none.h>", "none.h": "#include <none.h>"} {
		_, err := compile(context.Background(), []byte(source), t.TempDir(), "c")
		if got := errors.Is(openSSLMissing(err), ErrNoOpenSSL); err == nil || got != strings.HasPrefix(name, "openssl") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
