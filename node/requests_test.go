package node

import (
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

func TestRouteQueriesAreCounted(t *testing.T) {
	n := &Node{dispatch: newDispatch()}
	n.counts = admin.NewCounts(n.dispatch.codes(), false)
	for conn := range uint64(40) {
		n.counts.Request(conn, n.dispatch.slot(105))
		n.counts.Request(conn, n.dispatch.slot(103))
	}
	if got := n.routeQueries(); got != 40 {
		t.Errorf("%d route queries, want 40", got)
	}
}

// Each row is found by its code, no code has two, and what has none has the last.
func TestEveryCodeHasItsRow(t *testing.T) {
	d := newDispatch()
	last := len(d.rows) - 1
	if len(d.rows) > admin.MaxCodes {
		t.Fatalf("%d rows: raise admin.MaxCodes", len(d.rows))
	}
	names := map[string]bool{}
	for i, row := range d.rows[:last] {
		if int(d.slot(row.code)) != i || row.handle == nil || names[row.name] || row.name != strings.ToUpper(row.name) {
			t.Errorf("row %d: %d %s", i, row.code, row.name)
		}
		pool := rpc.DefaultPool
		switch row.code {
		case remoting.GetRouteInfoByTopic:
			pool = rpc.ClientPool
		case remoting.PutKVConfig, remoting.DeleteKVConfig, remoting.UpdateNamesrvConfig:
			pool = rpc.DiskPool
		}
		if row.pool != pool || d.pool(row.code) != pool {
			t.Errorf("%s has %s", row.name, row.pool)
		}
		names[row.name] = true
	}
	for _, code := range []int32{-1, 0, 999, 1024, 1 << 30, remoting.NotifyMinBrokerIDChange} {
		if int(d.slot(code)) != last {
			t.Errorf("code %d has the row %d", code, d.slot(code))
		}
	}
}

// What nobody serves is answered with code 3, as by the original, and a blank before its text.
func TestUnknownCode(t *testing.T) {
	c := dial(t, startNode(t, nil))
	for _, code := range []int32{-5, 0, 905, 31337} {
		a := ask(t, c, code, nil, "")
		if want := " request type " + strconv.Itoa(int(code)) + " not supported"; a.Code != remoting.RequestCodeNotSupported || a.Remark != want {
			t.Errorf("code %d: %d %q", code, a.Code, a.Remark)
		}
	}
}
