// Package observe tests what stands in the folder observe: the alerts, the board and what provisions them. With promtool
// (Debian's package prometheus) the rules are tested; with prometheus also on a real scrape of real nodes. Where they are
// missing these tests are skipped, saying so.
package observe

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{kit.Root(t)}, path...)...))
	kit.Must(t, err)
	return string(text)
}

var documentedRow = regexp.MustCompile("(?m)^\\| `(epitaph_[A-Za-z0-9_]+)` \\| (\\w+) \\| ([^|]*) \\|")

// documented are the series of docs/metrics.md, which a test of package node compares with what a node exposes, and the
// values that their label can have.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, m := range documentedRow.FindAllStringSubmatch(read(t, "docs", "metrics.md"), -1) {
		labels := []string{}
		for _, v := range regexp.MustCompile("`([A-Za-z0-9_]+)`").FindAllStringSubmatch(m[3], -1) {
			labels = append(labels, v[1])
		}
		all[m[1]] = labels
	}
	if len(all) < 30 {
		t.Fatalf("docs/metrics.md lists %d series only", len(all))
	}
	return all
}

var (
	seriesName = regexp.MustCompile(`\b(epitaph_[A-Za-z0-9_]+)(\{[^}]*\})?`)
	labelValue = regexp.MustCompile(`(\w+)=~?"([^"]*)"`)
)

// check says which series and label values of an expression no node exposes.
func check(t *testing.T, where, expr string, known map[string][]string) (used int) {
	t.Helper()
	for _, m := range seriesName.FindAllStringSubmatch(expr, -1) {
		used++
		values, ok := known[m[1]]
		if !ok {
			t.Errorf("%s: %s is not in docs/metrics.md", where, m[1])
			continue
		}
		for _, l := range labelValue.FindAllStringSubmatch(m[2], -1) {
			if slices.Contains([]string{"instance", "job", "quantile", "gossip_cluster"}, l[1]) {
				continue
			}
			for _, v := range strings.Split(l[2], "|") {
				if !slices.Contains(values, v) {
					t.Errorf("%s: %s has no value %q of %s", where, m[1], v, l[1])
				}
			}
		}
	}
	return used
}

var (
	alertLine = regexp.MustCompile(`(?m)^ +- alert: (\w+)\n +expr: (.+)\n(?: {8}.+\n)*`)
	testedFor = regexp.MustCompile(`alertname: (\w+)\n +exp_alerts:\n`)
)

const runbooks = "https://github.com/epitaph-mq/epitaph/blob/main/docs/operations.md#"

// Every series of the rules exists; every alert is tested, to fire and to end, and leads to where docs/operations.md says what to do.
func TestRulesAreKnown(t *testing.T) {
	rules, tests, doc := read(t, "observe", "rules.yml"), read(t, "observe", "rules_test.yml"), read(t, "docs", "operations.md")
	known := documented(t)
	alerts := alertLine.FindAllStringSubmatch(rules, -1)
	if len(alerts) != strings.Count(rules, "- alert:") || len(alerts) < 10 {
		t.Fatalf("%d alerts read of %d", len(alerts), strings.Count(rules, "- alert:"))
	}
	fires := map[string]bool{}
	for _, m := range testedFor.FindAllStringSubmatch(tests, -1) {
		fires[m[1]] = true
	}
	for _, a := range alerts {
		if used := check(t, a[1], a[2], known); used == 0 && a[1] != "EpitaphDown" {
			t.Errorf("%s looks at no series of ours: %s", a[1], a[2])
		}
		if !fires[a[1]] {
			t.Errorf("observe/rules_test.yml does not let %s fire", a[1])
		} else if _, after, _ := strings.Cut(tests, "alertname: "+a[1]+"\n"); !strings.Contains(after, "alertname: "+a[1]+", exp_alerts: []}") {
			t.Errorf("observe/rules_test.yml does not let %s end", a[1])
		}
		if !strings.Contains(doc, "\n### "+a[1]+"\n") {
			t.Errorf("docs/operations.md does not say under a heading what to do about %s", a[1])
		}
		// GitHub makes the anchor of a heading by lower case.
		if url := runbooks + strings.ToLower(a[1]); !strings.Contains(a[0], "runbook_url: \""+url+"\"\n") {
			t.Errorf("%s does not lead to %s", a[1], url)
		}
	}
}

type board struct {
	UID    string
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, RefID string }
	}
}

func readBoard(t *testing.T) (b board) {
	t.Helper()
	kit.Must(t, json.Unmarshal([]byte(read(t, "observe", "grafana", "dashboards", "epitaph.json")), &b))
	return b
}

// Every series of the board exists; no two panels share an id or a place.
func TestBoardIsKnown(t *testing.T) {
	b, known := readBoard(t), documented(t)
	used, ids, cells := 0, map[int]string{}, map[[2]int]string{}
	for _, p := range b.Panels {
		if other, taken := ids[p.ID]; taken {
			t.Errorf("%s and %s have one id", p.Title, other)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, taken := cells[[2]int{x, y}]; taken || x >= 24 {
					t.Fatalf("%s lies on %s or beyond the edge", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			used += check(t, "board, "+p.Title, target.Expr, known)
		}
	}
	if used < 20 {
		t.Errorf("the board looks at %d series only", used)
	}
	// Whatever alerts look at can be looked at.
	text, alerts := read(t, "observe", "grafana", "dashboards", "epitaph.json"), read(t, "observe", "rules.yml")
	for _, m := range regexp.MustCompile(`epitaph_dead_host_\w+`).FindAllString(alerts, -1) {
		if !strings.Contains(text, m+"{") && !strings.Contains(text, m+" ") {
			t.Errorf("an alert looks at %s, and the board does not show it", m)
		}
	}
	provisioned := read(t, "observe", "grafana", "provisioning", "datasources", "prometheus.yml")
	if uid := regexp.MustCompile(`"uid": "(\w+)"`).FindAllStringSubmatch(read(t, "observe", "grafana", "dashboards", "epitaph.json"), -1); len(uid) > 0 {
		for _, u := range uid {
			if u[1] != b.UID && !strings.Contains(provisioned, "uid: "+u[1]+"\n") {
				t.Errorf("the board asks data source %s, which is not provisioned", u[1])
			}
		}
	}
}

func require(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed (Debian: apt-get install prometheus)", program)
	}
	return path
}

// Each alert fires when it should, and not before and not after: observe/rules_test.yml.
func TestRules(t *testing.T) {
	promtool := require(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = filepath.Join(kit.Root(t), "observe")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
}
