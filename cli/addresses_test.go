package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// What the address server serves is what the command shows, and everything that is wrong with it is told.
func TestAddresses(t *testing.T) {
	data := t.TempDir()
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", data, "--address-server", "127.0.0.1:0")
	var out string
	kit.Until(t, "the node is in both lists", func() bool {
		status, shown, _ := run("addresses", "--data", data)
		out = shown
		return status == command.OK
	})
	if want := "clients  " + s.addr + "\nbrokers  " + s.addr + "\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if status, shown, _ := run("addresses", "--json", "--data", data); status != command.OK || !strings.Contains(shown, `"on": true`) {
		t.Errorf("--json: %d %s", status, shown)
	}

	var b bytes.Buffer
	v := view{out: &b, whole: true}
	v.addresses(&api.Addresses{
		On: true, Brokers: []string{"10.0.0.1:9876"}, Still: "1 of 3 members are seen", LeftOut: []api.LeftOut{{Member: "n2", Why: "its address is not known"}},
		Conflicts: []api.AddressConflict{{Addr: "10.0.0.1:9876", Members: []string{"n1", "n3"}}},
	})
	for _, want := range []string{
		"clients  none is known yet: 503", "brokers  10.0.0.1:9876\n", "stay as they are, 1 of 3 members", "n2 is left out, its address is not known",
		"10.0.0.1:9876 is the address of n1 and n3, correct",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not told:\n%s", want, &b)
		}
	}
}
