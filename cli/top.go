package cli

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/order"
)

const (
	topEvery  = time.Second
	topWindow = 10 // refreshes that the times are taken over: one second has too few timed requests
)

func (p *program) topCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:      "top",
		Usage:     "show what a node is busy with, refreshed every second",
		UsageText: "epitaph top [--socket PATH | -a HOST:PORT] [--once] [--json]",
		Description: `Requests by code, with their rate in the last second, how many there were since the start, and how long they took in
the last ten seconds: half of them less than P50, 99 of 100 less than P99, from the decoded request to its answer
handed to the socket. Of route queries one in 64 is timed. Ctrl-C stops it. With --once or --json, and where there is no
terminal, it measures for one second and ends.`,
		Flags: []command.Flag{{To: &v.once, Name: "once", Usage: "measure for a second and end"}},
	}, &v, func(ctx context.Context, _ []string) error {
		screen := p.terminalOf(p.stdout)
		if v.once || v.json {
			screen = nil
		}
		if screen != nil {
			p.streams.detach() // a terminal that stands still does not keep it from ending
		}
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return v.top(ctx, screen)
	})
}

// top shows the node's load until ctx ends or, without a screen, once.
func (v *view) top(ctx context.Context, screen *terminal) error {
	first, err := v.askLoad(ctx)
	if err != nil {
		return err
	}
	if screen == nil {
		timer := time.NewTimer(topEvery)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		second, err := v.askLoad(ctx)
		if err != nil {
			return err
		}
		h := topHistory{loads: []api.Load{*first, *second}}
		if v.json {
			return v.printAsJSON(h.figures())
		}
		for _, line := range h.lines(v.node.String(), nil) {
			fmt.Fprintln(v.out, line)
		}
		return nil
	}
	h := topHistory{loads: []api.Load{*first}}
	screen.live(ctx, topEvery, func(int, int) []string {
		l, err := v.askLoad(ctx)
		if err == nil {
			h.add(l)
		}
		lines := h.lines(v.node.String(), err)
		lines[0] = bold + spread(lines[0], v.now().Local().Format("15:04:05")+"  Ctrl-C stops", screenWidth) + plainText
		return lines
	})
	return nil
}

func (v *view) askLoad(ctx context.Context) (*api.Load, error) {
	status, body, err := send(ctx, http.MethodGet, v.node, "/v1/load")
	if err != nil {
		return nil, err
	}
	var l api.Load
	quiet := *v
	quiet.json = false
	_, err = quiet.read(status, body, &l)
	return &l, err
}

// topHistory is the last answers of one node, oldest first.
type topHistory struct{ loads []api.Load }

// add begins anew when the node was started anew.
func (h *topHistory) add(l *api.Load) {
	if n := len(h.loads); n > 0 && l.UpMS < h.loads[n-1].UpMS {
		h.loads = nil
	}
	h.loads = append(h.loads, *l)
	if len(h.loads) > topWindow+1 {
		h.loads = slices.Delete(h.loads, 0, 1)
	}
}

// topFigures is the load of one node between two moments.
type topFigures struct {
	api.Load
	Seconds     float64      `json:"seconds"` // between the two moments
	AcceptedPS  float64      `json:"accepted_per_second"`
	ReceivedPS  float64      `json:"received_bytes_per_second"`
	SentPS      float64      `json:"sent_bytes_per_second"`
	OverloadsPS float64      `json:"overloads_per_second"`
	Codes       []topRequest `json:"codes"`
	Requests    *struct{}    `json:"requests,omitempty"` // hides the counts that the figures are made of
}

// topRequest is one code of it.
type topRequest struct {
	Code  int32    `json:"code"`
	Name  string   `json:"name"`
	Rate  float64  `json:"per_second"`
	Count uint64   `json:"count"` // since the start
	Timed uint64   `json:"timed"` // that the quantiles are taken over
	P50   *float64 `json:"p50_us,omitempty"`
	P99   *float64 `json:"p99_us,omitempty"`
}

// figures are those of the last interval; times are taken over the whole history.
func (h *topHistory) figures() topFigures {
	last := h.loads[len(h.loads)-1]
	f := topFigures{Load: last, Codes: []topRequest{}}
	before, oldest := h.loads[max(0, len(h.loads)-2)], h.loads[0]
	f.Seconds = (last.UpMS - before.UpMS) / 1000
	rate := func(now, then float64) float64 {
		if f.Seconds <= 0 {
			return 0
		}
		return (now - then) / f.Seconds
	}
	f.AcceptedPS = rate(float64(last.Accepted), float64(before.Accepted))
	f.ReceivedPS = rate(float64(last.ReceivedBytes), float64(before.ReceivedBytes))
	f.SentPS = rate(float64(last.SentBytes), float64(before.SentBytes))
	f.OverloadsPS = rate(float64(last.Overloads), float64(before.Overloads))
	for _, r := range last.Requests {
		one := topRequest{Code: r.Code, Name: r.Name, Count: r.Count}
		one.Rate = rate(float64(r.Count), float64(requestsOf(&before, r.Code).Count))
		times := sinceThen(r.Times, requestsOf(&oldest, r.Code).Times)
		for _, b := range times {
			one.Timed += b.Count
		}
		one.P50, one.P99 = quantile(times, 0.50), quantile(times, 0.99)
		f.Codes = append(f.Codes, one)
	}
	order.Stable(f.Codes, func(a, b topRequest) int { return int(b.Rate - a.Rate) })
	return f
}

func requestsOf(l *api.Load, code int32) api.Requests {
	for _, r := range l.Requests {
		if r.Code == code {
			return r
		}
	}
	return api.Requests{}
}

// sinceThen takes what was there before from the counts of times.
func sinceThen(now, then []api.Time) (all []api.Time) {
	was := map[float64]uint64{}
	for _, b := range then {
		was[b.Below] = b.Count
	}
	for _, b := range now {
		if b.Count > was[b.Below] {
			all = append(all, api.Time{Below: b.Below, Count: b.Count - was[b.Below]})
		}
	}
	return all
}

// quantile is the time in microseconds that this share of the requests stayed below; nil: none was timed.
func quantile(times []api.Time, share float64) *float64 {
	var sum, seen uint64
	for _, b := range times {
		sum += b.Count
	}
	for _, b := range times {
		if seen += b.Count; float64(seen) >= math.Ceil(share*float64(sum)) {
			return &b.Below
		}
	}
	return nil
}

// lines is the screen; gone is why the node does not answer any more.
func (h *topHistory) lines(addr string, gone error) []string {
	f := h.figures()
	up := ", up " + span(milliseconds(f.UpMS))
	all := []string{
		"node at " + shorten(printable(addr), screenWidth-len("node at ")-len(up)) + up, shorten(printable(f.Why), screenWidth),
	}
	if gone != nil {
		all[1] = "no answer, asking again: the figures are old"
	}
	all = append(all, "",
		fmt.Sprintf("%-14s%9d   accepted %s/s", "connections", f.Connections, number(f.AcceptedPS)),
		fmt.Sprintf("%-14s%9d   of %s with %s", "registrations", f.Registrations, plural(f.Brokers, "broker", "brokers"), plural(f.Topics, "topic", "topics")),
		fmt.Sprintf("%-14s%9s   in, %s out, each second", "traffic", bytesOf(f.ReceivedPS), bytesOf(f.SentPS)),
		fmt.Sprintf("%-14s%9d   %s/s", "overloads", f.Overloads, number(f.OverloadsPS)),
		"", fmt.Sprintf("%4s  %-32s%9s%13s%9s%9s", "CODE", "REQUEST", "PER S", "TOTAL", "P50", "P99"))
	for _, r := range f.Codes {
		code := strconv.Itoa(int(r.Code))
		if r.Code < 0 {
			code = ""
		}
		all = append(all, fmt.Sprintf("%4s  %-32s%9s%13d%9s%9s", code, shorten(printable(r.Name), 31), number(r.Rate), r.Count, microseconds(r.P50), microseconds(r.P99)))
	}
	if len(f.Codes) == 0 {
		all = append(all, "no request since the start")
	}
	return all
}

// number is a rate in at most seven columns.
func number(rate float64) string {
	switch {
	case rate >= 1e6:
		return fmt.Sprintf("%.1fM", rate/1e6)
	case rate >= 10 || rate == 0:
		return strconv.FormatFloat(math.Round(rate), 'f', 0, 64)
	}
	return fmt.Sprintf("%.1f", rate)
}

func bytesOf(rate float64) string {
	switch {
	case rate >= 1e6:
		return fmt.Sprintf("%.1f MB", rate/1e6)
	case rate >= 1e3:
		return fmt.Sprintf("%.1f kB", rate/1e3)
	}
	return fmt.Sprintf("%.0f B", rate)
}

func microseconds(us *float64) string {
	switch {
	case us == nil:
		return "-"
	case *us < 10:
		return fmt.Sprintf("%.1fus", *us)
	case *us < 1000:
		return fmt.Sprintf("%.0fus", *us)
	}
	return span(time.Duration(*us * float64(time.Microsecond)))
}
