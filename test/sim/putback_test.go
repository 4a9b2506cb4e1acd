package sim

import (
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/world"
)

// TestPutBack plays one story with several endings, by which what schedules meet too rarely is met: the host of a broker stands still, all nodes that
// hear nothing of it take that out, and it is put back when it runs again, unless something was said meanwhile (V-18 of docs/spec/deadhosts.md).
func TestPutBack(t *testing.T) {
	const (
		usual  = 1 // seeds: what is set aside is put back,
		none   = 3 // nothing is set aside,
		hasten = 5 // registrations last for 30 s
	)
	for what, c := range map[string]struct {
		seed  uint64
		story string
		want  int
	}{
		"nothing":            {usual, "still host1 12s|wait 14s", 3},
		"nobody sets aside":  {none, "still host1 12s|wait 14s", 0},
		"an operator at B":   {usual, "still host1 12s|wait 11s|wipe B b1|wait 3s", 2},
		"another's operator": {usual, "still host1 12s|wait 11s|wipe B b11|wait 3s", 3},
		"its own time, 30 s": {hasten, "still host1 25s|wait 27s", 0},
		"within it":          {hasten, "still host1 12s|wait 14s", 3},
		"a tombstone of A":   {usual, "cut A B|cut A C|unregister p5 A b1|wait 50ms|still host1 30s|wait 9.5s|join A B|join A C|wait 23s", 0},
		"another host of it": {usual, "still host1 12s|wait 11s|start p6 v5 host2 b1|register p6 A b1|register p6 C b1|wait 3s", 1},
		"its connection":     {usual, "still host1 12s|wait 11s|exit p5|die host1|wait 4s", 0},
	} {
		w := NewWorld(3, c.seed, NoFlaw, world.NoResidual)
		steps := "dead-hosts A on|dead-hosts B on|dead-hosts C on"
		for _, h := range []string{"11", "12", "13", "14"} {
			steps += strings.NewReplacer("P", "p"+h, "H", h).Replace("|start P v5 hostH bH|register P A bH|register P B bH|register P C bH")
		}
		steps += "|start p5 v5 host1 b1|register p5 A b1|register p5 B b1|register p5 C b1|wait 9s|" + c.story
		for line := range strings.SplitSeq(steps, "|") {
			op, err := world.ParseOp(line)
			if err != nil {
				t.Fatal(err)
			}
			w.Apply(op)
		}
		if w.PutBack != c.want || len(w.Failures) > 0 || w.Vanished < 2 {
			t.Errorf("%s: %d taken out, %d put back, want %d: %v", what, w.Vanished, w.PutBack, c.want, w.Failures)
		}
	}
}
