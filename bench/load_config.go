package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of one load run.
const (
	MaxConnections = 2000
	MaxDepth       = 64
	MaxRate        = 2_000_000 // requests per second of an open loop
)

// Kind is what the measured connections ask for.
type Kind string

// The kinds of load.
const (
	Route    Kind = "route"    // code 105 for topics that exist
	Miss     Kind = "miss"     // code 105 for topics that do not
	Register Kind = "register" // code 103
	Mixed    Kind = "mixed"    // Route with 5 % Register
)

// Kinds are all kinds of load.
func Kinds() []Kind { return []Kind{Route, Miss, Register, Mixed} }

// writeEvery makes one request in this many of a Mixed load a registration.
const writeEvery = 20

// LoadConfig is one run of RunLoad. DefaultLoadConfig is a good start.
type LoadConfig struct {
	Target      string        // HOST:PORT of a running NameServer; "": start Program
	Program     []string      // command line of a server to start when there is no Target; {addr} and {dir} are replaced
	PID         int           // of the Target where it is local, for its CPU and memory; 0: look for it
	Kind        Kind          // what is asked
	Profile     Profile       // brokers and topics that exist
	Connections int           // 1 to MaxConnections
	Depth       int           // closed loop: requests in flight on each connection, 1 to MaxDepth
	Rate        float64       // open loop: requests per second over all connections; 0 is the closed loop
	Warmup      time.Duration // not measured
	Duration    time.Duration // measured
	ChangeEvery int           // Register and Mixed: every n-th topic changes at each registration; 0: the same bytes again
	CheckEvery  int           // compare the body of every n-th answer with the expected one; 1: of all
	Seed        uint64        // the same seed asks for the same topics in the same order
	Ceiling     bool          // measure the ceiling in the same run
	Plot        string        // write the latency distribution to this .svg or .png file
}

// DefaultLoadConfig asks for routes over 64 connections, one in flight on each.
func DefaultLoadConfig() LoadConfig {
	return LoadConfig{
		Kind: Route, Profile: Profiles()[0], Connections: 64, Depth: 1,
		Warmup: time.Second, Duration: 5 * time.Second, ChangeEvery: 1, CheckEvery: 8, Seed: 1,
	}
}

// Validate reports every fault of c, each with its remedy.
func (c *LoadConfig) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Target == "" && len(c.Program) == 0 {
		bad("target: missing; give HOST:PORT of a NameServer")
	}
	if !slices.Contains(Kinds(), c.Kind) {
		bad("kind: %q is none of %s", c.Kind, joinKinds())
	}
	if c.Connections < 1 || c.Connections > MaxConnections {
		bad("connections: %d is not within 1 to %d", c.Connections, MaxConnections)
	}
	if c.Depth < 1 || c.Depth > MaxDepth {
		bad("depth: %d is not within 1 to %d", c.Depth, MaxDepth)
	}
	if c.Rate < 0 || c.Rate > MaxRate {
		bad("rate: %v is not within 0 (closed loop) to %d requests per second", c.Rate, MaxRate)
	}
	if c.Rate > 0 && (c.Kind == Register || c.Kind == Mixed) {
		bad("rate: an open loop asks for kind route or miss; leave the rate out for kind %s", c.Kind)
	}
	if c.Duration <= 0 || c.Duration > time.Hour {
		bad("duration: %v is not within 0 to 1h", c.Duration)
	}
	if c.Warmup < 0 || c.Warmup > time.Hour {
		bad("warmup: %v is not within 0 to 1h", c.Warmup)
	}
	if c.CheckEvery < 1 {
		bad("check-every: %d is not positive; 1 compares every answer", c.CheckEvery)
	}
	if c.ChangeEvery < 0 {
		bad("change-every: %d is negative; 0 registers the same content again", c.ChangeEvery)
	}
	if err := c.Profile.Validate(); err != nil {
		faults = append(faults, err)
	}
	if c.Plot != "" {
		if err := checkPlotPath(c.Plot); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func joinKinds() string {
	names := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
