package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// LoadReport is what RunLoad measured.
type LoadReport struct {
	When            time.Time   `json:"when"`
	Machine         Machine     `json:"machine"`
	Config          LoadConfig  `json:"-"`
	Addr            string      `json:"target"`
	PID             int         `json:"pid,omitempty"`
	RegisterSeconds float64     `json:"register_s"` // all brokers of the profile, one after another
	Target          *CellResult `json:"result"`
	Ceiling         *CellResult `json:"ceiling,omitempty"`
}

// WriteText writes the report for people.
func (r *LoadReport) WriteText(w io.Writer) error {
	c, t := r.Config, r.Target
	fmt.Fprintf(w, "%s\n%s\n", r.When.Format(time.DateTime), r.Machine)
	fmt.Fprintf(w, "profile %s: %d brokers, %d topics of width %d, registered in %.2f s\n",
		c.Profile.Name, c.Profile.Brokers, c.Profile.Topics, c.Profile.Width, r.RegisterSeconds)
	fmt.Fprintf(w, "%s over %d connections, %s, %.1f s\n\n", t.Kind, t.Connections, t.loop(), t.Seconds)
	table := Table{Header: []string{"", "per s", "p50 us", "p90 us", "p99 us", "p99.9 us", "max us", "server CPU us", "client CPU us", "server RSS MB"}}
	table.Add(append([]string{r.Addr}, t.columns()...)...)
	if r.Ceiling != nil {
		table.Add(append([]string{"ceiling"}, r.Ceiling.columns()...)...)
	}
	if err := table.WriteText(w); err != nil {
		return err
	}
	if r.Ceiling != nil && r.Ceiling.PerSecond > 0 {
		fmt.Fprintf(w, "\n%.0f %% of what this machine can do with this generator (the ceiling answers every frame with one fixed frame)\n",
			100*t.PerSecond/r.Ceiling.PerSecond)
	}
	return t.writeNotes(w)
}

// loop says how requests were sent.
func (t *CellResult) loop() string {
	if t.Rate > 0 {
		return fmt.Sprintf("open loop at %.0f/s, latency from the intended start", t.Rate)
	}
	return fmt.Sprintf("closed loop, %d in flight on each", t.Depth)
}

func (t *CellResult) columns() []string {
	f := func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	known := func(v float64, format string) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf(format, v)
	}
	l := t.Latency
	return []string{
		f(t.PerSecond), f(l.P50), f(l.P90), f(l.P99), f(l.P999), f(l.Max),
		known(t.ServerCPU, "%.2f"), known(t.ClientCPU, "%.2f"), known(float64(t.ServerRSS)/(1<<20), "%.0f"),
	}
}

// writeNotes says what a reader must know to believe the figures.
func (t *CellResult) writeNotes(w io.Writer) error {
	fmt.Fprintf(w, "\n%d answers, %d bodies compared with the expected one, %d wrong\n", t.Answers, t.Compared, t.Wrong)
	if t.FirstWrong != "" {
		fmt.Fprintf(w, "the first wrong answer: %s\n", t.FirstWrong)
	}
	if t.Late != nil {
		fmt.Fprintf(w, "requests left %.0f us (p50), %.0f us (p99) after their intended start; that is part of the latencies\n", t.Late.P50, t.Late.P99)
	}
	if t.Unsent > 0 {
		fmt.Fprintf(w, "%d requests were never sent because the server was too far behind: it cannot keep up with this rate, and the latencies are lower bounds\n", t.Unsent)
	}
	if t.Interrupted {
		fmt.Fprintln(w, "interrupted: these are the figures up to then")
	}
	return nil
}

// WriteJSON writes v, a report, to a file.
func WriteJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// ReadJSON reads a report of WriteJSON into v.
func ReadJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("read report: %w", err)
	}
	return nil
}

func (r *LoadReport) plot(path string) error {
	series := []Series{{Name: r.Addr, Points: r.Target.Curve}}
	if r.Ceiling != nil {
		series = append(series, Series{Name: "ceiling", Points: r.Ceiling.Curve})
	}
	return PlotPercentiles(path, fmt.Sprintf("%s, %d connections, %s", r.Target.Kind, r.Target.Connections, r.Target.loop()), series)
}
