package admin

import (
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/digest"
)

// A node that holds more than is compared is not compared, and whose fault that is stands beside it.
func TestWhoIsCompared(t *testing.T) {
	for name, c := range map[string]struct {
		peer digest.PeerView
		here digest.View
		want string
	}{
		"all":         {digest.PeerView{Heard: true, Compared: true}, digest.View{}, ""},
		"silent":      {digest.PeerView{Heard: true, Compared: true, Silent: true}, digest.View{}, "it said nothing"},
		"not yet":     {digest.PeerView{Heard: true}, digest.View{}, "being compared"},
		"holds much":  {digest.PeerView{Heard: true, Compared: true, Partly: true, Count: 8192, Skipped: 8}, digest.View{}, "it serves 8200 broker addresses, and 8192"},
		"this does":   {digest.PeerView{Heard: true, Compared: true, Partly: true}, digest.View{Skipped: 1, Held: make(map[digest.Key]digest.Item)}, "this node serves"},
		"former, new": {digest.PeerView{}, digest.View{}, "it has just joined"},
	} {
		if why := notCompared(&c.peer, &c.here); compared(&c.peer) != (c.want == "") || !strings.HasPrefix(why, c.want) || (why == "") != (c.want == "") {
			t.Errorf("%s: compared %v, %q", name, compared(&c.peer), why)
		}
	}
}
