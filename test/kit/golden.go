package kit

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Golden compares got with a file that somebody has looked at. To accept a change, look at it first, then run with
// EPITAPH_ACCEPT=1.
func Golden(t testing.TB, file, got string) {
	t.Helper()
	if os.Getenv("EPITAPH_ACCEPT") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: seen (-) and got (+):\n%s", file, diff)
	}
}
