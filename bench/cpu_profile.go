package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sync/errgroup"
)

// CPUProfile is where the CPU time of one of our servers goes in one cell, taken in a run beside the rounds.
type CPUProfile struct {
	Server string             `json:"server"`
	Depth  int                `json:"depth"`
	CPU    float64            `json:"cpu_us"` // per answer, with the profiler's own
	Shares map[string]float64 `json:"shares"` // by name of a part, of 1
}

// part is what functions of one kind do. A sample belongs to the part that knows the innermost function of its stack, of those
// that any part knows.
type part struct {
	name  string
	knows *regexp.Regexp
}

const otherPart = "anything else"

// parts are in the order of the table.
var parts = []part{
	{"system calls: write", regexp.MustCompile(`^internal/poll\.\(\*FD\)\.(Write|Writev)$|^golang\.org/x/sys/unix\.Write$`)},
	{"system calls: read", regexp.MustCompile(`^internal/poll\.\(\*FD\)\.Read$|^golang\.org/x/sys/unix\.Read$`)},
	{"system calls: epoll_wait", regexp.MustCompile(`^runtime\.netpoll$`)},
	{"system calls: futex, by which threads sleep and are woken", regexp.MustCompile(`^runtime\.(futex|usleep|osyield)$`)},
	{"scheduling of goroutines", regexp.MustCompile(`^runtime\.(findRunnable|schedule|park_m|mcall|mstart|goready|ready|netpollready|netpollblock|injectglist|stealWork|execute|gopark|gosched.*|goschedImpl|wakep|gogo|sysmon|poll_runtime_.*)$|^internal/poll\.runtime_poll`)},
	{"encryption", regexp.MustCompile(`^crypto/`)},
	{"decoding", regexp.MustCompile(`/remoting\.(Decode|\(\*Repeats\)|\(\*Request\)|\(\*variable\)|headerError)|/remoting/fastjson\.`)},
	{"the table", regexp.MustCompile(`/epitaph/(routes|node|mq|tombstone)[./]|/xsync/`)},
	{"encoding and copying", regexp.MustCompile(`/remoting\.Append|^runtime\.memmove$`)},
	{"memory: allocating and collecting", regexp.MustCompile(`^runtime\.(mallocgc|gcBgMarkWorker|gcAssistAlloc.*|bgsweep|bgscavenge|gcStart|newobject|growslice|makeslice)$|^sync\.\(\*Pool\)`)},
	{"clocks", regexp.MustCompile(`^time\.(Now|Since|now)$|^runtime\.nanotime1?$|/epitaph/clock\.`)},
	{"the connection: frames, turns, accounts", regexp.MustCompile(`/remoting/rpc\.`)},
}

// partOf is the part of a stack, given from the innermost function outwards.
func partOf(stack []string) string {
	for _, name := range stack {
		for _, p := range parts {
			if p.knows.MatchString(name) {
				return p.name
			}
		}
	}
	return otherPart
}

// sharesOf reads a CPU profile of Go.
func sharesOf(r io.Reader) (map[string]float64, error) {
	p, err := profile.Parse(r)
	if err != nil {
		return nil, fmt.Errorf("read the CPU profile: %w", err)
	}
	shares, sum := map[string]float64{}, 0.0
	for _, s := range p.Sample {
		var stack []string
		for _, at := range s.Location {
			for _, line := range at.Line { // inlined ones first
				stack = append(stack, line.Function.Name)
			}
		}
		spent := float64(s.Value[len(s.Value)-1])
		shares[partOf(stack)] += spent
		sum += spent
	}
	if sum == 0 {
		return nil, fmt.Errorf("the CPU profile is empty")
	}
	for name := range shares {
		shares[name] /= sum
	}
	return shares, nil
}

// profile takes profiles of ours at depth 1 and 16, each in a cell that counts for nothing else.
func (r *comparison) profile(ctx context.Context, present []server) {
	for _, key := range []string{Ours, OursTLS} {
		i := slices.IndexFunc(present, func(s server) bool { return s.key == key })
		if i < 0 {
			continue
		}
		s := present[i]
		r.progress.Step("profiles of %s", s.title)
		r.with(ctx, s, Profiles()[0], func(m *measuring) error {
			for _, depth := range []int{1, 16} {
				if err := m.profile(ctx, depth); err != nil {
					return fmt.Errorf("profile at depth %d: %w", depth, err)
				}
			}
			return nil
		})
	}
}

func (m *measuring) profile(ctx context.Context, depth int) error {
	spec := m.closed(depth, loadConns)
	spec.duration = max((2 * spec.duration).Round(time.Second), time.Second) // net/http/pprof has whole seconds
	taken := CPUProfile{Server: m.result.Key, Depth: depth}
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error {
		got, err := m.session.measure(both, spec, m.progress)
		if err == nil {
			taken.CPU = got.ServerCPU
		}
		return err
	})
	group.Go(func() (err error) {
		select {
		case <-time.After(spec.warmup):
		case <-both.Done():
			return context.Cause(both)
		}
		taken.Shares, err = m.server.profile(both, spec.duration)
		return err
	})
	err := group.Wait()
	if err == nil {
		m.report.Profiles = append(m.report.Profiles, taken)
	}
	return err
}

// profile asks the socket of one of ours for a CPU profile.
func (ch *child) profile(ctx context.Context, d time.Duration) (map[string]float64, error) {
	_, port, err := net.SplitHostPort(ch.addr)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(ch.dir, "epitaph-"+port+".sock"))
	}}}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://node/debug/pprof/profile?seconds=%.0f", d.Seconds()), nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(ask)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
		return nil, fmt.Errorf("%s: %s", answer.Status, text)
	}
	return sharesOf(answer.Body)
}

// writeProfiles writes the table of where the CPU time goes.
func (r *CompareReport) writeProfiles(w io.Writer) error {
	if len(r.Profiles) == 0 {
		return nil
	}
	fmt.Fprint(w, "\n### Where the server's CPU goes\n\n"+
		"CPU profiles of epitaph, each of a run of its own beside the rounds. The ceiling does what the first two lines name, and\n"+
		"epoll_wait once for many connections; over TLS also the encryption. What epitaph spends on all other lines is what it lacks of the ceiling.\n\n")
	table := &Table{Header: []string{"of the CPU of a query"}}
	cpu := []string{"CPU of a query in this run, us"}
	for _, p := range r.Profiles {
		table.Header = append(table.Header, r.Server(p.Server).Title+", depth "+strconv.Itoa(p.Depth))
		cpu = append(cpu, number(p.CPU))
	}
	for _, p := range slices.Concat(parts, []part{{name: otherPart}}) {
		cells := []string{p.name}
		for _, q := range r.Profiles {
			cells = append(cells, fmt.Sprintf("%.1f %%", 100*q.Shares[p.name]))
		}
		table.Add(cells...)
	}
	table.Add(cpu...)
	return table.WriteMarkdown(w)
}
