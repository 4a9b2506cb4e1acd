//go:build linux

package netns

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// ledger collects what was measured; it is printed as a table at the end of the run.
type ledger struct {
	mu   sync.Mutex
	rows []figure
}

type figure struct{ scenario, what, value string }

var figures ledger

func (l *ledger) add(scenario, what, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = append(l.rows, figure{scenario, what, value})
}

func (l *ledger) took(scenario, what string, d time.Duration) { l.add(scenario, what, inWords(d)) }

// spread is one row for many times.
func (l *ledger) spread(scenario, what string, all []time.Duration) {
	if len(all) == 0 {
		l.add(scenario, what, "none")
		return
	}
	slices.Sort(all)
	at := func(share float64) string { return inWords(all[min(int(share*float64(len(all))), len(all)-1)]) }
	l.add(scenario, what, fmt.Sprintf("p50 %s, p99 %s, max %s (%d)", at(0.5), at(0.99), at(1), len(all)))
}

func inWords(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func (l *ledger) print(out io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rows) == 0 {
		return
	}
	slices.SortStableFunc(l.rows, func(a, b figure) int { return strings.Compare(a.scenario, b.scenario) })
	fmt.Fprintln(out, "\n| scenario | measured | |\n|---|---|---|")
	for _, r := range l.rows {
		fmt.Fprintf(out, "| %s | %s | %s |\n", r.scenario, r.what, r.value)
	}
}
