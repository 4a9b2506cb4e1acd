package admin

import (
	"net/netip"
	"testing"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/routes"
)

// Who is to blame is not what a PROXY header says that nobody believes.
func TestConflictsTellTheSource(t *testing.T) {
	var c conflicts
	c.add(&routes.Event{
		Kind: routes.ConflictNames, Remote: netip.MustParseAddrPort("10.9.9.9:4711"),
		Source: mq.Source{Addr: netip.MustParseAddr("10.0.0.1"), Apart: true},
	})
	if got := c.list(1).Conflicts[0].Remote; got != "10.0.0.1" {
		t.Errorf("conflict of %s", got)
	}
}
