package bench

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed ceiling/ceiling.c
var ceilingSource []byte

// ErrNoCompiler says that the ceiling cannot be built on this machine.
var ErrNoCompiler = errors.New("no C compiler (cc) on the PATH, so the ceiling cannot be built; install one (gcc or clang)")

// ErrNoOpenSSL says that the ceiling of TLS cannot be built on this machine.
var ErrNoOpenSSL = errors.New("no headers of OpenSSL 1.1.1 or later, so the ceiling of TLS cannot be built; install them (libssl-dev or openssl-devel)")

// buildCeiling compiles the ceiling server into dir and returns its path.
func buildCeiling(ctx context.Context, dir string) (string, error) {
	return compile(ctx, ceilingSource, dir, "ceiling")
}

// buildCeilingTLS compiles the one that speaks TLS.
func buildCeilingTLS(ctx context.Context, dir string) (string, error) {
	program, err := compile(ctx, ceilingSource, dir, "ceiling-tls", "-DTLS", "-lssl", "-lcrypto")
	return program, openSSLMissing(err)
}

// openSSLMissing is ErrNoOpenSSL where that is why err came about.
func openSSLMissing(err error) error {
	// gcc says "openssl/ssl.h: No such file", clang "'openssl/ssl.h' file not found"; either shows the line, too.
	if err != nil && strings.Contains(err.Error(), "<openssl/") {
		return ErrNoOpenSSL
	}
	return err
}

func compile(ctx context.Context, text []byte, dir, name string, more ...string) (string, error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", ErrNoCompiler
	}
	source, program := filepath.Join(dir, name+".c"), filepath.Join(dir, name)
	if err := os.WriteFile(source, text, 0o644); err != nil {
		return "", fmt.Errorf("write the ceiling's source: %w", err)
	}
	argv := append([]string{"-O2", "-o", program, source}, more...)
	if out, err := exec.CommandContext(ctx, cc, argv...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the ceiling (it needs Linux): %w: %s", err, out)
	}
	return program, nil
}

// ceilingCommand is how to start the ceiling so that it answers with the given frame, which must have an opaque of
// ten digits.
func ceilingCommand(program string, frame []byte) (command, error) {
	at := bytes.Index(frame, []byte(opaqueName))
	if at < 0 {
		return command{}, errors.New("the answer for the ceiling has no opaque")
	}
	ask := routeFrame(topicPrefix)
	return command{
		argv:  []string{program, "{port}", "{dir}/answer", strconv.Itoa(ask.opaqueAt), strconv.Itoa(at + len(opaqueName))},
		files: map[string]string{"answer": string(frame)},
	}, nil
}

// routeAnswer is a frame of the size of a route answer of the profile, for the ceiling to give.
func (p Profile) routeAnswer() []byte {
	body := []byte(`{"brokerDatas":[`)
	for k := range p.Width {
		if k > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"brokerAddrs":{`...)
		for i, a := range p.addressesOf(k) {
			if i > 0 {
				body = append(body, ',')
			}
			body = fmt.Appendf(body, `"%d":"%s"`, a.id, a.addr)
		}
		body = fmt.Appendf(body, `},"brokerName":"%s","cluster":"%s","enableActingMaster":false}`, brokerName(k), clusterName)
	}
	body = append(body, `],"filterServerTable":{},"queueDatas":[`...)
	for k := range p.Width {
		if k > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"brokerName":"%s","perm":6,"readQueueNums":%c,"topicSysFlag":0,"writeQueueNums":%c}`,
			brokerName(k), queuesA, queuesA)
	}
	body = append(body, `]}`...)
	const header = `{"code":0,"flag":1,"language":"JAVA","opaque":1000000000,"serializeTypeCurrentRPC":"JSON","version":513}`
	return appendFrame(nil, header, body)
}

// fixedSession is a session with the ceiling: nothing is registered, and every answer is the same.
func fixedSession(t target, p Profile) *session {
	return &session{target: t, expect: newExpectation(p), fixed: true, cancel: func() {}}
}
