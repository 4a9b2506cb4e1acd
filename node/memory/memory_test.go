package memory

import (
	"errors"
	"runtime/debug"
	"testing"
)

const mib = 1 << 20

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		found                               Found
		total, goLimit, passing, kv, tables int64
	}{
		"nothing":                            {found: Found{}, total: 0, goLimit: 0, passing: 1024},
		"a machine":                          {found: Found{System: 4096 * mib}, total: 0, goLimit: 0, passing: 512},
		"a large machine":                    {found: Found{System: 64 << 10 * mib}, total: 0, goLimit: 0, passing: 1024},
		"compose":                            {found: Found{Go: 40 * mib, Cgroup: 64 * mib, System: 4096 * mib}, total: 64, goLimit: 40, passing: 10, kv: 5, tables: 21},
		"a container":                        {found: Found{Cgroup: 64 * mib}, total: 64, goLimit: 48, passing: 12, kv: 6, tables: 26},
		"a large container":                  {found: Found{Cgroup: 4096 * mib}, total: 4096, goLimit: 3686, passing: 921, kv: 460, tables: 2300},
		"Go's limit beyond the container's":  {found: Found{Go: 1024 * mib, Cgroup: 64 * mib}, total: 64, goLimit: 48, passing: 12, kv: 6, tables: 26},
		"Go's limit alone":                   {found: Found{Go: 400 * mib}, total: 464, goLimit: 400, passing: 100, kv: 50, tables: 246},
		"the flag":                           {found: Found{Flag: 512 * mib, Go: 40 * mib}, total: 512, goLimit: 448, passing: 112, kv: 56, tables: 276},
		"the flag beyond the container's":    {found: Found{Flag: 512 * mib, Cgroup: 64 * mib}, total: 64, goLimit: 48, passing: 12, kv: 6, tables: 26},
		"so little that nothing would be so": {found: Found{Go: mib}, total: 1, goLimit: 1, passing: 1, kv: 1, tables: 1},
	} {
		l := Plan(c.found)
		got := [...]int64{l.Total / mib, l.Go / mib, l.Passing / mib, l.KV / mib, l.Tables / mib}
		if want := [...]int64{c.total, c.goLimit, c.passing, c.kv, c.tables}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"64MiB": 64 * mib, "64m": 64 * mib, "64MB": 64 * mib, "2g": 2 << 30, " 2GiB ": 2 << 30, "32768k": 32 * mib, "33554432": 32 * mib, "33554432B": 32 * mib,
		"33554431": 0, "31m": 0, "": 0, "m": 0, "-64m": 0, "64x": 0, "1.5g": 0, "9999999t": 0, "64 m": 0,
	} {
		n, err := ParseSize(text)
		if n != want || (err != nil) != (want == 0) || err != nil && !errors.Is(err, ErrSize) {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
}

func TestConnections(t *testing.T) {
	for _, c := range []struct{ total, files, want int }{
		{0, 1024, 960}, {0, 65536, 61440}, {0, 100, 36}, {0, 10, 16}, {64 * mib, 65536, 2048}, {64 * mib, 1024, 960}, {4096 * mib, 20000, 18750},
	} {
		if got := (&Limits{Total: int64(c.total)}).Connections(c.files); got != c.want {
			t.Errorf("%d MiB and %d files: %d connections, want %d", c.total/mib, c.files, got, c.want)
		}
	}
	if n := Files(); n <= 0 {
		t.Errorf("%d files", n)
	}
}

// A peak is given back once it is over for a while, and what remains is the new measure.
func TestSettler(t *testing.T) {
	s := settler{low: 20 * mib}
	for i, c := range []struct {
		held int
		due  bool
	}{{20, false}, {27, false}, {60, false}, {60, false}, {21, false}, {60, false}, {60, false}, {60, true}} {
		if got := s.due(uint64(c.held * mib)); got != c.due {
			t.Errorf("step %d, %d MiB: %v", i, c.held, got)
		}
	}
	s = settler{low: 7 * mib}
	for i, due := range []bool{false, false, true} {
		if got := s.due(11 * mib); got != due {
			t.Errorf("a small process, step %d: %v", i, got)
		}
	}
	s = settler{low: 400 * mib}
	for range 5 {
		if s.due(590 * mib) {
			t.Error("a heap that breathes is no peak")
		}
	}
	s = settler{low: 10 * mib}
	for i := range 4 * settleTries { // it is given back in the middle of a peak, and again
		due := s.due(30 * mib)
		if want := i%3 == 2 && i < 3*settleTries; due != want {
			t.Errorf("a peak that lasts, step %d: %v", i, due)
		}
		if due {
			s.gave(30 * mib)
		}
	}
	if held() == 0 {
		t.Error("nothing is held")
	}
}

func TestFindAndObey(t *testing.T) {
	before := debug.SetMemoryLimit(512 * mib)
	defer debug.SetMemoryLimit(before)
	f := Find(0)
	if f.Go != 512*mib || f.System <= 0 {
		t.Errorf("%+v", f)
	}
	l := Plan(Found{Flag: 128 * mib})
	l.Obey()
	if got := debug.SetMemoryLimit(-1); got != 96*mib {
		t.Errorf("Go keeps to %d", got)
	}
	l = Plan(Found{})
	l.Obey()
	if got := debug.SetMemoryLimit(-1); got != 96*mib {
		t.Errorf("without a limit Go keeps to %d", got)
	}
}
