// Package memory decides how much memory a node's parts may have, from what the process may have.
package memory

import (
	"errors"
	"math"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Found is what the process finds out about its memory, in bytes; 0: nothing is said.
type Found struct {
	Flag   int64 // --memory: what the process may take as a whole
	Go     int64 // GOMEMLIMIT: what Go's runtime keeps to
	Cgroup int64 // of a container or a unit
	System int64 // of the machine
}

// Limits are what follows, in bytes.
type Limits struct {
	Total int64 // what the process may take; 0: no limit is known
	Go    int64 // what Go's runtime should keep to, kernel memory and stacks of threads beside it; 0: leave it as it is

	Passing int64 // what passes through: frames, what is made of them, answers that nobody has read
	KV      int64 // the KV store; 0: no limit
	Routes  int64 // routes that are kept encoded: they give way to whatever else is needed; 0: no limit
	Tables  int64 // the tables; 0: no limit
}

// Without a limit, what passes through may have so much, and no more than this part of the machine.
const (
	passing     = 1 << 30
	passingPart = 8
)

// own is what the program itself needs, and what it keeps of the same size whatever happens.
const own = 4 << 20

// Of a limit, however small, each share has this at least; and --memory is not taken below the second.
const (
	least     = 1 << 20
	leastFlag = 32 << 20
)

// Plan shares out what was found. The flag wins over GOMEMLIMIT, and that over the cgroup; none may have more than the cgroup.
func Plan(f Found) Limits {
	l := Limits{Total: f.Cgroup, Go: f.Go}
	if f.Flag > 0 {
		l.Total, l.Go = smaller(f.Flag, f.Cgroup), 0
	}
	if l.Total == 0 && l.Go == 0 {
		l.Passing = passing
		if f.System > 0 {
			l.Passing = max(min(passing, f.System/passingPart), least)
		}
		return l
	}
	if l.Total > 0 { // a part of the whole is not Go's: sockets, threads, the program itself
		l.Go = smaller(l.Total-max(l.Total/10, min(l.Total/4, 64<<20)), l.Go)
	} else {
		l.Total = l.Go + max(l.Go/10, min(l.Go/3, 64<<20))
	}
	l.Passing, l.KV, l.Routes = max(l.Go/4, least), max(l.Go/8, least), max(l.Go/8, least)
	l.Tables = max(l.Go-l.Passing-l.KV-own, least)
	return l
}

// smaller is the smaller of two limits of which 0 is none.
func smaller(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// Find asks the runtime and the system. flag is --memory.
func Find(flag int64) Found {
	f := Found{Flag: flag}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		f.Go = limit
	}
	f.Cgroup = known(memlimit.FromCgroup())
	f.System = known(memlimit.FromSystem())
	return f
}

// known is 0 where nothing is known, or more than any machine has.
func known(n uint64, err error) int64 {
	if err != nil || n > math.MaxInt64/2 {
		return 0
	}
	return int64(n)
}

// Obey has Go's runtime keep to the limit.
func (l *Limits) Obey() {
	if l.Go > 0 {
		debug.SetMemoryLimit(l.Go)
	}
}

// Connections is how many connections there may be by default, where so many files may be open: what is left of them for brokers' notices, HTTP and
// files is a sixteenth, 64 at least. Of a limited memory they may have a quarter, 8 KiB each, sockets in the kernel included.
func (l *Limits) Connections(files int) int {
	const each = 8 << 10
	n := files - max(files/16, 64)
	if l.Total > 0 {
		n = min(n, int(l.Total/4/each))
	}
	return max(n, 16)
}

// Files is how many files this process may have open.
func Files() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur)
}

var units = []struct {
	ending string
	shift  uint
}{{"kib", 10}, {"mib", 20}, {"gib", 30}, {"tib", 40}, {"kb", 10}, {"mb", 20}, {"gb", 30}, {"tb", 40}, {"k", 10}, {"m", 20}, {"g", 30}, {"t", 40}, {"b", 0}, {"", 0}}

// ErrSize says how a size is written.
var ErrSize = errors.New("want a size such as 64MiB, 512m or 2g, 32 MiB or more")

// ParseSize reads a size in bytes as Go and Docker write it; units are powers of 1024.
func ParseSize(text string) (int64, error) {
	lower := strings.ToLower(strings.TrimSpace(text))
	for _, u := range units {
		digits, ok := strings.CutSuffix(lower, u.ending)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > math.MaxInt64>>u.shift || n<<u.shift < leastFlag {
			break
		}
		return n << u.shift, nil
	}
	return 0, ErrSize
}
