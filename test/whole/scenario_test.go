package whole

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/world"
)

// TestScenarios plays the scenarios of package sim with whole nodes, and those that only whole nodes can play.
func TestScenarios(t *testing.T) {
	files := slices.DeleteFunc(scenarioFiles(t), func(file string) bool {
		n := filepath.Base(file)[:2]
		// A day of five memberlists takes minutes. The core simulation plays them all.
		return n == "37" || testing.Short() && n != "01" && n != "18" && n != "22" && n != "33"
	})
	world.PlayScenarios(t, files, func(t *testing.T, steps []world.Step) {
		synctest.Test(t, func(t *testing.T) {
			s := scenario{t: t, patience: patience}
			s.play(steps)
			s.w.settle()
			for _, f := range s.w.broken() {
				t.Error(f)
			}
			s.end()
		})
	})
}

func scenarioFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"../world/testdata/*.txt", "testdata/[0-9]*.txt"} {
		found, err := filepath.Glob(pattern)
		kit.Must(t, err)
		files = append(files, found...)
	}
	return files
}

type scenario struct {
	t        *testing.T
	w        *World
	patience time.Duration
	over     bool
}

// end stops the nodes; once.
func (s *scenario) end() {
	if s.over {
		return
	}
	s.over = true
	if s.t.Failed() || testing.Verbose() {
		s.t.Log(s.w.report())
	}
	s.w.close()
}

func (s *scenario) fatal(format string, args ...any) {
	s.t.Errorf(format, args...)
	s.end()
	s.t.FailNow()
}

func (s *scenario) play(steps []world.Step) {
	for _, st := range steps {
		words := strings.Fields(st.Text)
		err := error(nil)
		switch words[0] {
		case "nodes":
			n, _ := strconv.Atoi(words[1])
			s.w = newWorld(s.t, config{nodes: n, seed: 1, script: true})
		case "plain": // the node runs without gossip from now on, as a Java NameServer does
			m := s.w.machine[words[1][0]-'A']
			m.stop(false)
			s.w.sleep(30 * time.Second)
			m.plain = true
			m.start()
		case "as":
			err = s.as(words)
		case "expect":
			err = s.await(words)
		default:
			var op world.Op
			if op, err = world.ParseOp(st.Text); err == nil {
				s.w.apply(op)
			}
			if op.Verb == "join" {
				s.patience = afterRejoin
			}
		}
		if broken := s.w.broken(); err != nil || len(broken) > 0 {
			s.fatal("line %d: %s: at %v: %v %v", st.Line, st.Text, time.Since(s.w.started), err, broken)
		}
	}
}

func (s *scenario) as(words []string) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.As(words)
}

// How much later than in the core simulation something may become true here: a node looks for an acknowledgement up to
// 10 ms later than it came. After a cut that was too short or had a way round it, so that nobody was taken for dead, a
// push/pull brings what was missed, and memberlist chooses the pair.
const (
	patience    = 200 * time.Millisecond
	afterRejoin = 2 * time.Minute
)

func (s *scenario) await(words []string) (err error) {
	synctest.Wait()
	for begun := time.Now(); ; {
		if err = s.expect(words); err == nil || time.Since(begun) >= s.patience {
			return err
		}
		s.w.sleep(s.patience / 200)
	}
}

func (s *scenario) expect(words []string) error {
	i, err := world.ReadNode(words[1])
	if err != nil {
		return err
	}
	l, want := s.w.machine[i].current(), strings.Join(words[2:], " ")
	if l == nil {
		return fmt.Errorf("%s does not run", words[1])
	}
	var got string
	switch words[2] {
	case "holds", "lacks":
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		got, err = l.ghosts.Holder(words[2:], l.node.Table().Holds)
	default:
		got, want, err = world.Seen(words, l.node.Gossip().Status(9), l.node.Gossip().Counters())
	}
	if err == nil && got != want {
		err = fmt.Errorf("got %q", got)
	}
	return err
}
