package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// CompareConfig is one run of RunCompare.
type CompareConfig struct {
	Peers
	Rounds      int           // each server is started afresh in each round
	LargeRounds int           // rounds that also measure the large table
	Cell        time.Duration // measured time of each load cell
	Servers     []string      // which to measure; empty: all
}

// DefaultCompareConfig is five rounds of short cells.
func DefaultCompareConfig() CompareConfig {
	return CompareConfig{Rounds: 5, LargeRounds: 1, Cell: 3 * time.Second}
}

// Validate reports every fault of c, each with its remedy.
func (c *CompareConfig) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.Ours) == 0 {
		bad("ours: no command line of our server")
	}
	if c.Rounds < 1 || c.Rounds > 100 {
		bad("rounds: %d is not within 1 to 100", c.Rounds)
	}
	if c.LargeRounds < 0 || c.LargeRounds > c.Rounds {
		bad("large-rounds: %d is not within 0 to the %d rounds", c.LargeRounds, c.Rounds)
	}
	if c.Cell < 100*time.Millisecond || c.Cell > time.Minute {
		bad("cell: %v is not within 100ms to 1m", c.Cell)
	}
	for _, s := range c.Servers {
		if !slices.Contains(CompareServers(), s) {
			bad("servers: %q is none of %v", s, CompareServers())
		}
	}
	return errors.Join(faults...)
}

// CompareServers are all servers that RunCompare can measure.
func CompareServers() []string {
	return []string{Ours, Ceiling, JavaBig, JavaSmall, Rust, OursTLS, CeilingTLS}
}

func (c *CompareConfig) wants(key string) bool {
	return len(c.Servers) == 0 || slices.Contains(c.Servers, key)
}
