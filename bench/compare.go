package bench

import (
	"context"
	"io"
	"time"
)

// CompareConfig is one run of RunCompare.
type CompareConfig struct {
	Ours        []string      // command line of our server; {addr} and {dir} are replaced
	JavaCP      string        // class path of the Java NameServer; "": named as missing
	Rust        string        // program of the Rust NameServer; "": looked for on the PATH
	Rounds      int           // each server is started afresh in each round
	LargeRounds int           // rounds of the large-table profile
	Cell        time.Duration // measured time of each load cell
	Servers     []string      // which to measure; empty: all
	BasePort    int           // 0: any free ports
	JSON        string        // write the report there
}

// DefaultCompareConfig is five rounds of short cells.
func DefaultCompareConfig() CompareConfig {
	return CompareConfig{Rounds: 5, LargeRounds: 1, Cell: 3 * time.Second}
}

// Validate reports every fault of c.
func (c *CompareConfig) Validate() error { return nil }

// CompareReport is what RunCompare measured.
type CompareReport struct {
}

// WriteMarkdown writes the tables: medians, ranges and ratios.
func (r *CompareReport) WriteMarkdown(w io.Writer) error { return nil }

// RunCompare measures the servers side by side. When ctx ends it reports the rounds that were finished.
func RunCompare(ctx context.Context, c CompareConfig, progress io.Writer) (*CompareReport, error) {
	return nil, c.Validate()
}
