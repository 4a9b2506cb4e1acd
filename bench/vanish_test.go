package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// TestMain is also the process that measures hosts that vanish.
func TestMain(m *testing.M) {
	if was, _ := Private(); !was {
		m.Run()
	}
}

func TestVanishSettings(t *testing.T) {
	c := DefaultConvergeConfig()
	c.Nodes, c.Losses, c.Vanish, c.Trials = []int{2, 3, 9, 33, 100}, []float64{0, 0.3}, true, 200
	names := func() map[string]VanishSetting {
		all := map[string]VanishSetting{}
		for _, s := range c.vanishSettings() {
			if s.Trials >= s.Hosts || s.Hosts > vanishMost || s.AtOnce < 1 || all[s.Name()].Nodes > 0 {
				t.Errorf("%+v", s)
			}
			all[s.Name()] = s
		}
		return all
	}
	if all := names(); len(all) != 9 || all["33 nodes, 30 % loss"].Trials == 0 || !all["2 nodes, no loss, `--dead-hosts off`"].Off {
		t.Errorf("%d settings: %+v", len(all), all)
	}
	c.Nodes, c.Complete = []int{3, 9, 33}, true
	all := names()
	for _, g := range vanishGoals {
		for _, n := range g.nodes {
			found := 0
			for _, s := range all {
				r := VanishReport{Settings: []*VanishResult{{VanishSetting: s}}}
				if r.find(n, float64(g.loss)/100, g.sooner, g.fault) != nil {
					found++
				}
			}
			if found != 1 {
				t.Errorf("%d settings are measured for %d nodes, %s", found, n, g.wording)
			}
		}
	}
}

// A goal that was missed is said to be missed: by time, by a host that stayed, by one that lived and went.
func TestVanishGoalsMissed(t *testing.T) {
	c := DefaultConvergeConfig()
	result := func(nodes int, p99 float64, gone, wrong int) *VanishResult {
		return &VanishResult{VanishSetting: c.vanishSetting(nodes, 0), Vanished: 10, Gone: gone, Wrong: wrong, Wire: Times{P99: p99}}
	}
	for wrong, last := range []string{"| yes |", "| **no** |"} {
		r := VanishReport{Settings: []*VanishResult{result(3, 8_999, 10, 0), result(9, 9_000, 10, wrong), result(33, 8_000, 9, 0)}}
		var b strings.Builder
		kit.Must(t, r.goals().WriteMarkdown(&b))
		for _, want := range []string{
			"3 nodes, no loss, p99 | < 9 s | 9.00 s | 0.00 s | yes |", "9 nodes, no loss, p99 | < 9 s | 9.00 s | 0.00 s | **no** |",
			"33 nodes, no loss, p99 | < 9 s | 1 of 10 not within 0 s | 0.00 s | **no** |", "30 % loss, p99 | < 9.5 s | - | - | not measured |",
		} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%q is not in\n%s", want, b.String())
			}
		}
		if text := strings.TrimSpace(b.String()); !strings.HasSuffix(text, last) {
			t.Errorf("%d of those that lived were taken out:\n%s", wrong, text)
		}
	}
}

// Hosts vanish from three whole nodes, over sockets of this kernel, and are gone at all of them; at nodes that judge nobody they are not.
func TestVanish(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIPPED: -short; it takes a minute; make test has it")
	}
	c := DefaultConvergeConfig()
	c.Trials = 2
	dir := t.TempDir()
	c.Vanish, c.From, c.Plot = true, filepath.Join(dir, "earlier.json"), filepath.Join(dir, "a.svg")
	kit.Must(t, WriteJSON(c.From, &ConvergeReport{
		When: time.Unix(0, 0).UTC(), Settings: []*SettingResult{{Nodes: 3, Fault: MissAllButOne, Gossip: true, Trials: 1, Converged: 1, Wire: Times{All: []float64{1}}}},
	}))
	kit.Must(t, c.Validate())
	var steps strings.Builder
	r, err := RunConvergence(t.Context(), c, &steps)
	if err != nil && strings.Contains(err.Error(), noNetwork) {
		t.Skipf("SKIPPED, not proven on this machine: %v", err)
	}
	kit.Must(t, err)
	if len(r.Vanish.Settings) != 2 || r.When.Year() != 1970 || r.Settings[0].Converged != 1 {
		t.Fatalf("%+v\n%s", r, steps.String())
	}
	if on, off := r.Vanish.Settings[0], r.Vanish.Settings[1]; on.Gone != 2 || on.Vanished != 2 || on.Wrong != 0 || len(on.Decided.All) != 2 || !off.Off || off.Gone != 0 || off.Vanished != 2 {
		t.Errorf("%+v\n%+v", on, off)
	}
	t.Logf("gone after %v ms", r.Vanish.Settings[0].Wire.All)
	kit.Must(t, r.WriteDocument(filepath.Join(dir, "a.md"), c.Plot))
	page, err := os.ReadFile(filepath.Join(dir, "a.md"))
	kit.Must(t, err)
	picture, err := os.ReadFile(vanishPlot(c.Plot))
	kit.Must(t, err)
	if !strings.Contains(string(page), "](a-vanish.svg)") || !strings.Contains(string(page), "| 3 nodes, no loss | 2/2 |") || !strings.Contains(string(picture), "120 s") {
		t.Errorf("%s", page)
	}
	var text strings.Builder
	kit.Must(t, r.WriteText(&text))
	for line := range strings.Lines(text.String()) {
		if !strings.Contains(line, " UTC, ") && len([]rune(line)) > 81 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
}

// The story comes to its end: the host that died is gone, the one that a single node did not hear is not.
func TestStoryVanish(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIPPED: -short; it takes half a minute; make test has it")
	}
	var out strings.Builder
	err := StoryVanish(t.Context(), &out)
	if err != nil && strings.Contains(err.Error(), "takes Linux") {
		t.Skipf("SKIPPED, not proven on this machine: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"A has heard nothing", "answers A: I heard nothing for 5 s either", "B takes it out", "Gone at A, B and C", "A keeps it: contradicted by ", "A hears it again", "Next:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len([]rune(strings.TrimRight(line, " \n"))) > 80 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
}
