package divergence

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What is found at one look only was over when it was found, and is not told; what is told is told once, and its end with the
// same fields.
func TestWhatIsOverIsNotTold(t *testing.T) {
	var book kit.Log
	w := watch{log: slog.New(slog.NewTextHandler(&book, nil))}
	found := func(kind string) map[string]line {
		return map[string]line{"b": {"differ", "agree", []any{"broker", "b"}, kind, []any{"reason", kind}, false}}
	}
	stale := func(kind string) map[string]line {
		m := found(kind)
		l := m["b"]
		l.stale = true
		m["b"] = l
		return m
	}
	for i, c := range []struct {
		found map[string]line
		want  []string
	}{
		{found("starting"), nil},
		{nil, nil},
		{found("starting"), nil},
		{found("starting"), []string{"level=WARN", "msg=differ broker=b reason=starting"}},
		{found("starting"), nil},
		{found("no_connection"), []string{"msg=differ broker=b reason=no_connection"}},
		{stale("starting"), nil}, // it may be over: neither is a reason told that is no longer so, nor that it is over
		{found("no_connection"), nil},
		{nil, []string{"level=INFO", "msg=agree broker=b"}},
		{nil, nil},
		{stale("starting"), nil},
		{stale("starting"), nil},
		{found("starting"), nil},
		{stale("starting"), nil},
		{nil, nil},
	} {
		w.tell(c.found)
		text := strings.Join(book.Take(), "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("look %d: %q lacks %q", i, text, want)
			}
		}
		if len(c.want) == 0 && text != "" {
			t.Errorf("look %d: %q", i, text)
		}
	}
}
