package world

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Step is a line of a scenario with its number in the file.
//
// A scenario is a text file: a comment that tells the story, then one line for each step.
//
//	nodes 3                       must be the first step
//	as p1 name=x id=1 ...         process p1 calls itself otherwise from now on (cluster, addr, name, id, timeout)
//	repeat 500 ... end            # stands for the number of the round, from 0
//	expect C holds b1 [by p1]     registered at C [by p1's connection]
//	expect C lacks b1
//	expect A made 1               so many tombstones
//	expect A made-none REASON     the UNREGISTERs that made no tombstone, by reason
//	expect C decides OUTCOME      the newest decision at C about a broker that C held
//	expect C decides nothing
//	expect A hears C OUTCOME      what A knows of C about A's newest tombstone
//	expect A lost-time 0          proofs that C did not believe because their origin had lost time
//	expect A live 0               own tombstones that are still there
//
// Everything else is an op (ops.go).
type Step struct {
	Line int
	Text string
}

// ReadScenario drops comments and repeats blocks.
func ReadScenario(text string) ([]Step, error) {
	var steps, block []Step
	times := 0
	for i, line := range strings.Split(text, "\n") {
		text := strings.TrimSpace(line)
		rest, isRepeat := strings.CutPrefix(text, "repeat ")
		switch {
		case text == "" || strings.HasPrefix(text, "# ") || text == "#":
		case isRepeat:
			n, err := strconv.Atoi(rest)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			times, block = n, nil
		case text == "end":
			for round := range times {
				for _, s := range block {
					steps = append(steps, Step{s.Line, strings.ReplaceAll(s.Text, "#", strconv.Itoa(round))})
				}
			}
			times = 0
		case times > 0:
			block = append(block, Step{i + 1, text})
		default:
			steps = append(steps, Step{i + 1, text})
		}
	}
	return steps, nil
}

// ScenarioOf reads a file.
func ScenarioOf(t testing.TB, file string) []Step {
	t.Helper()
	text, err := os.ReadFile(file)
	kit.Must(t, err)
	steps, err := ReadScenario(string(text))
	kit.Must(t, err)
	return steps
}

// Elsewhere is the Go test that a scenario which is no schedule names.
func Elsewhere(steps []Step) string {
	for _, st := range steps {
		if where, ok := strings.CutPrefix(st.Text, "test "); ok {
			return where
		}
	}
	return ""
}

// PlayScenarios plays each file that is a schedule in a subtest of its own.
func PlayScenarios(t *testing.T, files []string, play func(t *testing.T, steps []Step)) {
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			steps := ScenarioOf(t, file)
			if where := Elsewhere(steps); where != "" {
				t.Logf("told by %s", where)
				return
			}
			play(t, steps)
		})
	}
}

// Seen is what a node shows of what an expect step (all its words) asks about tombstones, beside what the step wants.
func Seen(words []string, st tombstone.Status, c tombstone.Counters) (got, want string, err error) {
	want = strings.Join(words[3:], " ")
	switch words[2] {
	case "made":
		got = strconv.FormatUint(c.Made[tombstone.Made], 10)
	case "made-none":
		for why := tombstone.NoStamp; why <= tombstone.NodeLimit; why++ {
			if c.Made[why] > 0 {
				got += why.String()
			}
		}
	case "lost-time":
		got = strconv.FormatUint(c.LostTime, 10)
	case "live":
		got = strconv.Itoa(st.Live)
	case "decides":
		got = "nothing"
		for _, d := range st.Decisions {
			// The hint of a second node that heard the same UNREGISTER may be answered after the broker is gone.
			if d.Verdict.Outcome != tombstone.NotHeld {
				got = d.Verdict.Outcome.String()
				break
			}
		}
	case "hears":
		got, want = heard(st, words[3]), strings.Join(words[4:], " ")
	default:
		return "", "", fmt.Errorf("unknown expectation %q", words[2])
	}
	return got, want, nil
}

// heard is what the newest tombstone's origin knows of a member.
func heard(st tombstone.Status, member string) string {
	if len(st.Own) == 0 {
		return "no tombstone"
	}
	for _, r := range st.Own[0].Reports {
		switch {
		case r.Member != member:
		case r.Reported && r.Outcome == tombstone.SawItself: // the member's own hint was here first
			return tombstone.NotHeld.String()
		case r.Reported:
			return r.Outcome.String()
		case r.Answered:
			return "asked"
		}
	}
	return "no answer"
}

// ReadNode reads the letter of a node.
func ReadNode(s string) (int, error) {
	n, err := parseArg('n', s)
	return int(n), err
}

// Holder is what an expect step about a broker (its words from holds or lacks on) wants to read: whether a node that
// holds says so of keys has it, and by whose connection.
func (gs Ghosts) Holder(words []string, holds func(tombstone.Key) bool) (string, error) {
	n, err := parseArg('b', words[1])
	if err != nil {
		return "", err
	}
	k := BrokerKey(n)
	switch g := gs[k]; {
	case !holds(k):
		return "lacks " + words[1], nil
	case len(words) > 2 && g != nil && g.Owner() != nil:
		return "holds " + words[1] + " by " + g.Owner().Proc.Name(), nil
	default:
		return "holds " + words[1], nil
	}
}
