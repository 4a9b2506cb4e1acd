package departures

import (
	"context"
	"errors"
	"testing"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

type serve func(c *rpc.Conn)

func (f serve) Serve(c *rpc.Conn, _ *remoting.Request, _ *remoting.Response) { f(c) }
func (serve) Closed(*rpc.Conn)                                               {}

// A late proof that is waited for has a slot, and gives it back when the wait ends. Without a free slot nobody waits.
func TestSlotsForLateProofsAreGivenBack(t *testing.T) {
	d := &Shell{waiting: make(chan struct{}, 2), ctx: t.Context(), clock: clock.Now}
	cfg := rpc.DefaultConfig()
	cfg.Addr = "127.0.0.1:0"
	s, err := rpc.New(cfg, serve(func(c *rpc.Conn) { d.awaitLateProof(c, tombstone.ID{}, d.clock()) }))
	kit.Must(t, err, s.Listen(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		kit.Must(t, s.Shutdown(context.Background()))
		if err := <-served; !errors.Is(err, rpc.ErrClosed) {
			t.Error(err)
		}
	})
	c, err := rpc.Dial(t.Context(), s.Addr().String(), rpc.DefaultClientConfig())
	kit.Must(t, err)
	defer c.Close()
	ask := func() {
		t.Helper()
		_, err := c.Invoke(t.Context(), &remoting.Command{Code: remoting.UnregisterBroker, Version: remoting.Version})
		kit.Must(t, err)
	}
	for range 3 * cap(d.waiting) {
		ask()
		kit.Until(t, "the slot's return", func() bool { return len(d.waiting) == 0 })
	}
	d.waiting <- struct{}{}
	d.waiting <- struct{}{}
	ask() // and does not wait for a slot
	d.group.Wait()
	if len(d.waiting) != cap(d.waiting) {
		t.Errorf("%d slots are taken, want the two that were", len(d.waiting))
	}
}
