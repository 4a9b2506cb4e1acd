//go:build unix

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/node/properties"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// A process that is killed while code 318 changes options has lost nothing that it said was kept, and the next start takes the
// file for whole.
func TestKilledUpdate(t *testing.T) {
	read := func(path string) (n int, entries []properties.Entry) {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, []properties.Entry{{Key: "other"}} // the operator's file, before the first change
		}
		kit.Must(t, errors.Join(err, CheckWhole(path, text)))
		entries, err = properties.Parse(text)
		kit.Must(t, err)
		for _, e := range entries {
			if e.Key == "other" {
				count, _, _ := strings.Cut(e.Value, " ")
				n, err = strconv.Atoi(count)
				kit.Must(t, err)
			}
		}
		return n, entries
	}
	held := func(path string) int {
		n, entries := read(path)
		if n > 0 && len(entries) < len(options)/2 {
			t.Fatalf("the file has only %d entries", len(entries))
		}
		return n
	}
	kit.Killed(t, 20, func(path string) func() int {
		cfg := Default(System{})
		n, entries := read(path)
		cfg.ApplyFile(path, entries)
		cfg.Options.ConfigStorePath = path
		r := NewRuntime(cfg, slog.New(slog.DiscardHandler))
		return func() int {
			n++
			kit.Must(t, r.Update([]byte(fmt.Sprint("other=", n, " ", strings.Repeat("v", n%7*3000))), Caller{}))
			return n
		}
	}, held)
}
