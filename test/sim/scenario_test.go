package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestScenarios plays every file of testdata (scenario.go).
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			steps, err := ReadScenario(string(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range steps {
				if strings.HasPrefix(st.Text, "test ") {
					t.Logf("told by %s", st.Text)
					return
				}
			}
			s := scenario{t: t}
			s.play(steps)
			s.w.Settle()
			for _, f := range s.w.Failures {
				t.Errorf("INV-%d: %s", f.Invariant, f.Text)
			}
		})
	}
}

type scenario struct {
	t *testing.T
	w *World
}

func (s *scenario) play(steps []Step) {
	for _, st := range steps {
		words := strings.Fields(st.Text)
		err := error(nil)
		switch words[0] {
		case "nodes":
			n, _ := strconv.Atoi(words[1])
			s.w = NewWorld(n, 1, NoFlaw, NoResidual)
			if testing.Verbose() {
				s.w.Log = s.t.Logf
			}
		case "as":
			err = s.as(words)
		case "expect":
			err = s.expect(words)
		default:
			var op Op
			if op, err = ParseOp(st.Text); err == nil {
				s.w.Apply(op)
			}
		}
		if err != nil || len(s.w.Failures) > 0 {
			s.t.Fatalf("line %d: %s: at %v: %v %v", st.Line, st.Text, time.Duration(s.w.now), err, s.w.Failures)
		}
	}
}

func (s *scenario) as(words []string) error {
	num, err := parseArg('p', words[1])
	p := s.w.procs[int(num)]
	if err != nil || p == nil {
		return fmt.Errorf("no process %s", words[1])
	}
	return p.as.Set(words[2:])
}

func (s *scenario) expect(words []string) error {
	i, err := parseArg('n', words[1])
	if err != nil {
		return err
	}
	n, rest := s.w.nodes[i], strings.Join(words[3:], " ")
	var got string
	switch words[2] {
	case "holds", "lacks":
		num, err := parseArg('b', words[3])
		if err != nil {
			return err
		}
		got = "lacks " + words[3]
		for k, g := range n.ghosts {
			if _, held := n.table.Holds(k); held && k == brokerKey(num) {
				got = "holds " + words[3]
				if len(words) > 4 {
					got += " by " + g.owner.proc.name()
				}
			}
		}
		rest = words[2] + " " + rest
	default:
		if got, rest, err = Seen(words, n.x.Status(9, n.stamp()), n.x.Counters()); err != nil {
			return err
		}
	}
	if got != rest {
		return fmt.Errorf("got %q", got)
	}
	return nil
}
