package rpc

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// slowHandler takes its time with the first request.
type slowHandler struct {
	began chan struct{} // closed when the first request is handled
	goOn  chan struct{}
	first bool
}

func (h *slowHandler) Serve(_ *Conn, _ *remoting.Request, resp *remoting.Response) {
	if !h.first {
		h.first = true
		close(h.began)
		<-h.goOn
	}
	resp.Code = remoting.Success
}
func (*slowHandler) Closed(*Conn) {}

// A stop answers what has come in, although nobody had read it yet, and then closes in order: the peer sees a FIN, not a reset.
func TestStopAnswersWhatIsThere(t *testing.T) {
	h := &slowHandler{began: make(chan struct{}), goOn: make(chan struct{})}
	cfg := DefaultConfig()
	cfg.Addr = "127.0.0.1:0"
	s, err := New(cfg, h)
	kit.Must(t, err)
	kit.Must(t, s.Listen(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c, err := net.Dial("tcp", s.Addr().String())
	kit.Must(t, err)
	defer c.Close()
	frame := remoting.AppendRequest(nil, &remoting.Command{Code: remoting.GetKVConfig, Version: remoting.Version})
	_, err = c.Write(frame)
	kit.Must(t, err)
	<-h.began
	const more = 20
	for range more {
		_, err = c.Write(frame)
		kit.Must(t, err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(t.Context()) }()
	kit.Until(t, "nobody is let in any more", func() bool {
		d, err := net.Dial("tcp", s.Addr().String())
		if err == nil {
			d.Close()
		}
		return err != nil
	})
	close(h.goOn)
	r := bufio.NewReader(c)
	for n := range more + 1 {
		if _, err := readFrame(r, 1<<20); err != nil {
			t.Fatalf("answer %d: %v", n+1, err)
		}
	}
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("then %d bytes, %v", n, err)
	}
	kit.Must(t, <-stopped)
	<-served
}
