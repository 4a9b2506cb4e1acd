package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Goals for a node whose log's reader stands still, beside one that is read.
const (
	stallSlower = 1.1     // p99 of REGISTER, times that of the other
	stallMemory = 8 << 20 // bytes more
	stallExit   = 2 * time.Second
)

// EPITAPH_STALL=10m is how long TestStalledReader churns; else until lines were dropped, which takes some seconds.
func stallFor(t *testing.T) (d time.Duration, long bool) {
	t.Helper()
	given := os.Getenv("EPITAPH_STALL")
	if given == "" {
		return 0, false
	}
	d, err := time.ParseDuration(given)
	kit.Must(t, err)
	return d, true
}

// The reader of the log stands still while brokers come and go: no REGISTER takes longer, no registration and no
// departure is missed, memory is bounded, SIGTERM ends the node, and what was lost is counted and told.
func TestStalledReader(t *testing.T) {
	during, long := stallFor(t)
	serve := func(stderr *os.File) *process {
		cmd := serving1(t.TempDir(), "--http", "127.0.0.1:0")
		cmd.Stderr = stderr
		return outside(t, cmd)
	}
	readEnd, readBy, err := os.Pipe()
	kit.Must(t, err)
	t.Cleanup(func() { readEnd.Close() })
	go func() { _, _ = io.Copy(io.Discard, readEnd) }()
	reader, stalled, err := os.Pipe()
	kit.Must(t, err)
	t.Cleanup(func() { reader.Close() })
	nodes := []*process{serve(readBy), serve(stalled)}
	fill(t, stalled)
	times := make([][]time.Duration, len(nodes))
	rounds := 0
	begin := time.Now()
	for ; time.Since(begin) < during || rounds < 1000 || rounds%500 != 0 || nodes[1].dropped(t) == 0; rounds++ {
		for i := range nodes {
			i = (i + rounds) % len(nodes) // neither is always the first
			times[i] = append(times[i], comeAndGo(t, nodes[i].addr, rounds))
		}
	}
	var p99 [2]time.Duration
	var memory [2]float64
	for i, p := range nodes {
		slices.Sort(times[i])
		p99[i] = times[i][len(times[i])*99/100]
		for series, want := range map[string]float64{
			`epitaph_registrations`: 0, `epitaph_events_total{event="broker_registered"}`: float64(rounds),
			`epitaph_events_total{event="broker_unregistered"}`: float64(rounds - rounds/2), `epitaph_events_total{event="broker_connection_lost"}`: float64(rounds / 2),
		} {
			kit.Await(t, promptly, series, func() error {
				if got := p.metric(t, series); got != want {
					return fmt.Errorf("%v at node %d, want %v", got, i, want)
				}
				return nil
			})
		}
		memory[i] = p.metric(t, "process_resident_memory_bytes")
	}
	dropped := nodes[1].dropped(t)
	t.Logf("%d brokers in %s: p99 of REGISTER %s where the log is read and %s where its reader stands still, %.1f MB more, %.0f lines dropped, %.0f at the other",
		rounds, time.Since(begin).Round(time.Second), p99[0], p99[1], (memory[1]-memory[0])/1e6, dropped, nodes[0].dropped(t))
	slack := 20 * time.Millisecond // a machine with other work to do, and few brokers
	if long {
		slack = 0
	}
	if float64(p99[1]) > stallSlower*float64(p99[0])+float64(slack) {
		t.Errorf("p99 of REGISTER is %s, and %s with a reader", p99[1], p99[0])
	}
	if memory[1]-memory[0] > stallMemory {
		t.Errorf("%.1f MB more", (memory[1]-memory[0])/1e6)
	}

	// The reader goes on, and is told; then it stands still again.
	lines := bufio.NewReader(reader)
	told := make(chan string, 1)
	go func() { told <- awaitLine(t, lines, "dropped before this one", "dropped=") }()
	kit.Until(t, "it is told", func() bool {
		comeAndGo(t, nodes[1].addr, 0)
		return len(told) == 1
	})
	line := <-told // more may have been dropped until there was room
	if n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, "=")+1:]), 64); err != nil || n < dropped {
		t.Errorf("%.0f lines were dropped, and it is told %q", dropped, line)
	}
	fill(t, stalled)
	comeAndGo(t, nodes[1].addr, 1)
	begin = time.Now()
	nodes[1].signal(t, syscall.SIGTERM)
	nodes[1].ends(t, promptly, 0)
	if took := time.Since(begin); long && took > stallExit {
		t.Errorf("SIGTERM took %s", took)
	}
}

// comeAndGo registers the broker of this number, which then unregisters (even ones) or is lost, and returns how long
// its REGISTER took.
func comeAndGo(t *testing.T, addr string, number int) time.Duration {
	name := fmt.Sprintf("b%d-%s", number, strings.Repeat("x", 100)) // long lines
	b := kit.NewBroker(t, name, fmt.Sprintf("10.%d.%d.%d:10911", number>>16, number>>8&255, number&255), "T")
	defer b.Close()
	_, err := b.Conn(addr) // its making is not measured
	kit.Must(t, err)
	begin := time.Now()
	kit.Must(t, b.TryRegister(addr))
	took := time.Since(begin)
	if number%2 == 0 {
		kit.Must(t, b.Tell(addr, b.Departure(), promptly))
	}
	return took
}
