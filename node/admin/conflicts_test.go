package admin

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/routes"
)

// Names of any length take little room.
func TestConflictsAreShort(t *testing.T) {
	var c conflicts
	long := strings.Repeat("x", 1024)
	c.add(&routes.Event{Kind: routes.ConflictNames, Cluster: long, Name: long, Addr: long, Old: long})
	one := c.list(1).Conflicts[0]
	for _, text := range []string{one.Cluster, one.Broker, one.Addr, one.Old} {
		if text != strings.Repeat("x", 256)+"… (1024 bytes)" {
			t.Errorf("%d bytes: %q", len(text), text)
		}
	}
}

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
