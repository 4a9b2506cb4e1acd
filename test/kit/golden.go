package kit

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/packed"
)

// Golden compares got with a file that somebody has looked at. To accept a change, look at it first, then run with
// EPITAPH_ACCEPT=1.
func Golden(t testing.TB, file, got string) {
	t.Helper()
	if os.Getenv("EPITAPH_ACCEPT") != "" {
		Must(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	Must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: seen (-) and got (+):\n%s", file, diff)
	}
}

// Packed is Golden for a text that the program embeds compressed. What compressors make of it may differ from one to the next.
func Packed(t testing.TB, file, got string) {
	t.Helper()
	seen, err := os.ReadFile(file)
	Must(t, err)
	want, err := packed.Text(seen).Unpack()
	diff := cmp.Diff(want, got)
	if err == nil && diff == "" {
		return
	}
	if os.Getenv("EPITAPH_ACCEPT") == "" {
		t.Errorf("%s (%v): seen (-) and got (+); EPITAPH_ACCEPT=1 makes it anew:\n%s", file, err, diff)
		return
	}
	made, err := packed.Pack(got)
	Must(t, err)
	Must(t, os.WriteFile(file, made, 0o600))
}

// Listed compares what others rely on (flags, metrics, fields of log lines; one line each) with the list of what there was
// before. EPITAPH_ACCEPT=1 adds what is new, and takes nothing out.
func Listed(t testing.TB, file string, now []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	before := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(text) == 0 {
		before = nil
	}
	lacks := func(all []string, line string) bool { return !slices.Contains(all, line) }
	var gone, added []string
	for _, line := range before {
		if lacks(now, line) {
			gone = append(gone, line)
		}
	}
	for _, line := range now {
		if lacks(before, line) && lacks(added, line) {
			added = append(added, line)
		}
	}
	if len(gone) > 0 {
		t.Errorf("removed or changed, which whoever relies on it will notice. If it must be: take it out of %s, and say so in "+
			"CHANGELOG.md under Removed (from 0.2.0 on it must not be).\n%s", file, strings.Join(gone, "\n"))
	}
	if len(added) == 0 {
		return
	}
	if os.Getenv("EPITAPH_ACCEPT") == "" {
		t.Errorf("new, and not in %s: look at it, then run with EPITAPH_ACCEPT=1.\n%s", file, strings.Join(added, "\n"))
		return
	}
	all := append(before, added...)
	slices.Sort(all)
	Must(t, os.WriteFile(file, []byte(strings.Join(all, "\n")+"\n"), 0o600))
}

// LogFields are the keys of lines of a JSON log, each behind its line's message and before the type of its value.
func LogFields(t testing.TB, log string) (fields []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var values map[string]any
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for key, value := range values {
			if key != slog.TimeKey && key != slog.LevelKey && key != slog.MessageKey {
				fields = append(fields, fmt.Sprintf("%s: %s %T", values[slog.MessageKey], key, value))
			}
		}
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}
