package sim

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/world"
)

// TestScenarios plays every scenario of package world.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("../world/testdata/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	world.PlayScenarios(t, files, func(t *testing.T, steps []world.Step) {
		s := scenario{t: t}
		s.play(steps)
		s.w.Settle()
		for _, f := range s.w.Failures {
			t.Error(f)
		}
	})
}

type scenario struct {
	t *testing.T
	w *World
}

func (s *scenario) play(steps []world.Step) {
	for _, st := range steps {
		words := strings.Fields(st.Text)
		err := error(nil)
		switch words[0] {
		case "nodes":
			n, _ := strconv.Atoi(words[1])
			s.w = NewWorld(n, 1, NoFlaw, world.NoResidual)
			if testing.Verbose() {
				s.w.Log = s.t.Logf
			}
		case "as":
			err = s.w.As(words)
		case "expect":
			err = s.expect(words)
		default:
			var op world.Op
			if op, err = world.ParseOp(st.Text); err == nil {
				s.w.Apply(op)
			}
		}
		if err != nil || len(s.w.Failures) > 0 {
			s.t.Fatalf("line %d: %s: at %v: %v %v", st.Line, st.Text, time.Duration(s.w.now), err, s.w.Failures)
		}
	}
}

func (s *scenario) expect(words []string) error {
	i, err := world.ReadNode(words[1])
	if err != nil {
		return err
	}
	n, want := s.w.nodes[i], strings.Join(words[2:], " ")
	var got string
	switch words[2] {
	case "holds", "lacks":
		got, err = n.ghosts.Holder(words[2:], n.table.Holds)
	default:
		got, want, err = world.Seen(words, n.x.Status(9, n.stamp()), n.x.Counters())
	}
	if err == nil && got != want {
		err = fmt.Errorf("got %q", got)
	}
	return err
}
