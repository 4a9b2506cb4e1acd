package admin

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/node/addresses"
	"github.com/epitaph-mq/epitaph/node/departures"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// idle is a node that is ready, holds nothing and gossips with nobody.
type idle struct{ table *routes.Table }

func (idle) Ready() (bool, string)                   { return true, "ready" }
func (idle) KVMissing() bool                         { return false }
func (idle) Identity() Identity                      { return Identity{Release: "1.2.3"} }
func (idle) Up() time.Duration                       { return time.Second }
func (idle) Missing() (brokers int, _ time.Duration) { return 0, 0 }
func (idle) DroppedLines() uint64                    { return 0 }
func (idle) SharedSources() int                      { return 0 }
func (idle) Shares(*rpc.Stats) [ShareCount]Share     { return [ShareCount]Share{} }
func (idle) Alone() bool                             { return false }
func (idle) ReadyAfter() time.Duration               { return 30 * time.Second }
func (idle) Connections() rpc.Stats                  { return rpc.Stats{} }
func (v idle) Table() *routes.Table                  { return v.table }
func (idle) Departures() *departures.Shell           { return nil }
func (idle) Vanished() *vanished.Shell               { return nil }
func (idle) Draining() Drain                         { return Drain{} }
func (idle) SetDrain(bool) error                     { return nil }
func (idle) Addresses() (addresses.Status, bool)     { return addresses.Status{}, false }

// start runs a listener on a free port.
func start(t *testing.T) *Server {
	t.Helper()
	table := routes.New(routes.Config{Clock: clock.Now, Encode: func(dst []byte, _ *routes.Route, _ bool) []byte { return dst }})
	h, err := New("127.0.0.1:0", idle{table}, NewCounts([]Code{{105, "GET_ROUTEINFO_BY_TOPIC"}, {OtherCode, "other"}}, true), slog.New(slog.DiscardHandler))
	kit.Must(t, err)
	kit.Launch(t, h)
	return h
}

func get(t *testing.T, h *Server, path string) (status int, body string) {
	t.Helper()
	status, body = kit.Get("http://" + h.Addr().String() + path)
	if status == 0 {
		t.Fatalf("%s: %s", path, body)
	}
	return status, body
}

// However many conflicts there are, few are kept.
func TestConflictsAreBounded(t *testing.T) {
	c := NewCounts(nil, false)
	for i := range conflictsKept + 10 {
		c.Event(&routes.Event{Kind: routes.ConflictNames, Name: fmt.Sprint(i)})
	}
	if v := c.conflicts.list(apiLimitMax); len(v.Conflicts) != conflictsKept || v.Total != conflictsKept+10 {
		t.Errorf("%d conflicts kept of %d", len(v.Conflicts), v.Total)
	}
}
