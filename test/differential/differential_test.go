package differential

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/inproc"
)

// number reads an environment variable.
func number(t *testing.T, name string, missing uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return missing
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		t.Fatalf("%s=%q: want a number", name, text)
	}
	return n
}

func startPair(t *testing.T) *pair {
	t.Helper()
	if os.Getenv("EPITAPH_INTEROP") == "" {
		t.Skip("SKIPPED: set EPITAPH_INTEROP=1 to compare with the released Java NameServer")
	}
	java.Require(t)
	peer := java.StartNameServer(t, "5.5.0", java.NameServerOptions{})
	n := inproc.StartNode(t, nil)
	return &pair{java: peer.Addr, ours: n.Addr().String(), met: map[string]int{}, settling: longSettling}
}

// TestSameAnswers plays seeded sequences at both servers.
func TestSameAnswers(t *testing.T) {
	p := startPair(t)
	steps, seed := int(number(t, "DIFFERENTIAL_STEPS", 10_000)), number(t, "DIFFERENTIAL_SEED", 1)
	sequences := 0
	for ; p.played < steps; seed++ {
		sequence := generate(seed)
		d, err := p.play(sequence)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		sequences++
		if d == nil {
			continue
		}
		short, last := p.shorten(sequence, 2*time.Minute)
		if last == nil {
			t.Fatalf("seed %d, step %d %v, did not happen again: %s", seed, d.at, sequence[d.at], d.text)
		}
		var text strings.Builder
		for _, st := range short {
			text.WriteString(st.String() + "\n")
		}
		t.Fatalf("seed %d: the shortest sequence found (keep it in testdata/regressions):\n%s%s", seed, text.String(), last.text)
	}
	t.Logf("%d steps in %d sequences up to seed %d, no difference", p.played, sequences, seed-1)
	for _, w := range wanted {
		t.Logf("%s (%s): met %d times", w.rule, w.what, p.met[w.rule])
		if p.met[w.rule] == 0 && p.played >= 40_000 { // the rarest is met three times in 10,000
			t.Errorf("no sequence shows %s: it is no deviation any more, or is not generated", w.rule)
		}
	}
}

// TestRegressions plays sequences that once went apart.
func TestRegressions(t *testing.T) {
	files, err := filepath.Glob("testdata/regressions/*.txt")
	kit.Must(t, err)
	if len(files) == 0 {
		t.Fatal("testdata/regressions is empty")
	}
	p := startPair(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := os.Open(file)
			kit.Must(t, err)
			defer f.Close()
			var steps []step
			for lines := bufio.NewScanner(f); lines.Scan(); {
				if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
					var st step
					if err := json.Unmarshal([]byte(line), &st); err != nil {
						t.Fatalf("%s: %v", line, err)
					}
					steps = append(steps, st)
				}
			}
			if d, err := p.play(steps); err != nil || d != nil {
				t.Fatalf("%v %+v", err, d)
			}
		})
	}
}

// TestSequencesAreRepeatable: a seed must name one sequence for ever, on every machine.
func TestSequencesAreRepeatable(t *testing.T) {
	for seed := range uint64(50) {
		a, b := generate(seed), generate(seed)
		if len(a) != len(b) || len(a) > maxSteps+2 {
			t.Fatalf("seed %d: %d and %d steps", seed, len(a), len(b))
		}
		for i := range a {
			if a[i].String() != b[i].String() {
				t.Fatalf("seed %d, step %d:\n%v\n%v", seed, i, a[i], b[i])
			}
		}
	}
}
