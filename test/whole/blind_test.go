package whole

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/epitaph-mq/epitaph/test/sim"
)

// Ghosts that notice nothing are worth nothing: where a reset counts as an acknowledgement, S-31 evicts a successor.
func TestGhostsNoticeAWrongEviction(t *testing.T) {
	text, err := os.ReadFile("../sim/testdata/31-reset-is-no-ack.txt")
	if err != nil {
		t.Fatal(err)
	}
	steps, err := sim.ReadScenario(string(text))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, config{nodes: 3, seed: 1, script: true, flaw: flawResetIsAck})
		defer w.close()
		for _, st := range steps {
			if op, err := sim.ParseOp(st.Text); err == nil {
				w.apply(op)
			}
		}
		w.settle()
		broken := strings.Join(w.broken(), "\n")
		if !strings.Contains(broken, "INV-1:") {
			t.Errorf("a wrong eviction went unnoticed: %q\n%s", broken, w.report())
		}
	})
}
