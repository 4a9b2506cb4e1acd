package whole

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/world"
)

// Ghosts that notice nothing are worth nothing: where a reset counts as an acknowledgement, S-31 evicts a successor.
func TestGhostsNoticeAWrongEviction(t *testing.T) {
	text, err := os.ReadFile("../world/testdata/31-reset-is-no-ack.txt")
	kit.Must(t, err)
	steps, err := world.ReadScenario(string(text))
	kit.Must(t, err)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config{nodes: 3, seed: 1, script: true, resetIsAck: true})
		defer w.close()
		for _, st := range steps {
			if op, err := world.ParseOp(st.Text); err == nil {
				w.apply(op)
			}
		}
		w.settle()
		broken := fmt.Sprint(w.broken())
		if !strings.Contains(broken, "INV-1:") {
			t.Errorf("a wrong eviction went unnoticed: %q\n%s", broken, w.report())
		}
	})
}
