package world

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Plan says which seeds a run plays: those that failed once, fixed ones, and then the day's own until the budget is used.
// The fixed ones show what a change has broken, the day's own what nobody has looked at yet.
type Plan struct {
	Failed []uint64
	First  uint64        // of the fixed ones (SEED; 1)
	Count  int           // of the fixed ones (SCHEDULES)
	Day    uint64        // the first of the day's own
	Budget time.Duration // for those (SIM_BUDGET; none)
}

// failedFile holds a seed a line, in the folder of the test that plays them.
const failedFile = "testdata/seeds.txt"

// ReadPlan is the plan of the environment, with so few fixed schedules where it says nothing.
func ReadPlan(t testing.TB, few int) (p Plan) {
	t.Helper()
	p.First, p.Count = Number(t, "SEED", 1), int(Number(t, "SCHEDULES", uint64(few)))
	day, err := strconv.ParseUint(time.Now().UTC().Format("20060102"), 10, 64)
	kit.Must(t, err)
	p.Day = day * 1_000_000
	if s := os.Getenv("SIM_BUDGET"); s != "" {
		if p.Budget, err = time.ParseDuration(s); err != nil {
			t.Fatalf("SIM_BUDGET=%q: want a duration such as 60s", s)
		}
	}
	if p.Failed, err = readSeeds(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Number reads a number of the environment, which must be above zero.
func Number(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number above 0", name, s)
	}
	return n
}

func readSeeds() (seeds []uint64, err error) {
	text, err := os.ReadFile(failedFile)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		seed, err := strconv.ParseUint(line, 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%s: want a seed a line: %w", failedFile, err)
		}
		seeds = append(seeds, seed)
	}
	return seeds, lines.Err()
}

// Join adds one of the day's seeds to those that failed once, and says how to play it again.
func (p Plan) Join(t testing.TB, seed uint64, dir string) {
	t.Helper()
	t.Logf("once more: SCHEDULES=1 SEED=%d go test -count=1 -v -run TestNoSchedule ./%s", seed, dir)
	if seed < p.Day {
		return
	}
	f, err := os.OpenFile(failedFile, os.O_APPEND|os.O_WRONLY, 0)
	kit.Must(t, err)
	defer f.Close()
	if _, err := fmt.Fprintln(f, seed); err != nil {
		t.Fatal(err)
	}
	t.Logf("the seed is in %s/%s from now on: commit that with what mends it", dir, failedFile)
}

// seeds is a function that answers the seeds of the plan, in their order.
func (p Plan) seeds() func() (seed uint64, more bool) {
	var mu sync.Mutex
	var day time.Time // when the day's own began
	next := 0
	return func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		i := next
		next++
		if i < len(p.Failed) {
			return p.Failed[i], true
		}
		if i -= len(p.Failed); i < p.Count {
			return p.First + uint64(i), true
		}
		if i == p.Count {
			day = time.Now()
		}
		return p.Day + uint64(i-p.Count), time.Since(day) < p.Budget
	}
}

// Play runs seeds on all cores until each says stop; each is called for one at a time. It returns what was played.
func Play[R any](p Plan, run func(seed uint64) R, each func(seed uint64, r R) (stop bool)) Played {
	next := p.seeds()
	var stop atomic.Bool
	var mu sync.Mutex
	var wg sync.WaitGroup
	played, began := Played{plan: p}, time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !stop.Load() {
				seed, more := next()
				if !more {
					return
				}
				r := run(seed)
				mu.Lock()
				played.N++
				if each(seed, r) {
					stop.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	played.Took = time.Since(began)
	return played
}

// Played is how much of a plan was played.
type Played struct {
	plan Plan
	N    int
	Took time.Duration
}

// String says which seeds they were.
func (p Played) String() string {
	s := fmt.Sprintf("%d schedules in %v: %d seeds that failed once, the fixed seeds %d to %d", p.N, p.Took.Round(time.Second),
		len(p.plan.Failed), p.plan.First, p.plan.First+uint64(p.plan.Count)-1)
	if own := p.N - len(p.plan.Failed) - p.plan.Count; own > 0 {
		s += fmt.Sprintf(", the day's seeds %d to %d", p.plan.Day, p.plan.Day+uint64(own)-1)
	}
	return s
}
