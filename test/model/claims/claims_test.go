package claims

import (
	"os"
	"strings"
	"testing"
)

// one is one node, a broker with up to two connections and a stranger with one.
func one(change func(*Config)) Config {
	c := Config{Nodes: 1, Sources: 1, Victims: 2, Strangers: 1, Queue: 2, Window: 1, Timeout: 3, Reach: 7, Again: true}
	change(&c)
	return c
}

// two is two nodes, with tombstones between them.
func two(change func(*Config)) Config {
	c := Config{Nodes: 2, Sources: 1, Victims: 1, Strangers: 1, Queue: 1, Window: 1, Timeout: 2, Reach: 7, Again: true}
	change(&c)
	return c
}

// full says that everything is looked at, not only what the gate has time for.
func full() bool { return os.Getenv("MODEL") == "full" }

// limit is how many worlds of a configuration are looked at. Those of the night have all been searched to their end.
const limit = 1_000_000_000

// The rule breaks no promise, in any world.
func TestRule(t *testing.T) {
	for _, test := range []struct {
		name string
		gate bool
		cfg  Config
	}{
		{"1 node, beside RocketMQ", true, one(func(c *Config) { c.Victims = 1 })},
		{"1 node, a source that is no machine", true, one(func(c *Config) { c.OneSource, c.Unordered = true, true })},
		{"1 node, hosts that vanish", true, one(func(c *Config) { c.Victims, c.Vanishes = 1, true })},
		{"1 node, broker with 2 sources, hosts that vanish", false, one(func(c *Config) { c.Sources, c.Vanishes = 2, true })},
		{"1 node", false, one(func(*Config) {})},
		{"1 node, heartbeats", false, one(func(c *Config) { c.Beats = true })},
		{"1 node, timeout below the window", false, one(func(c *Config) { c.Window, c.Timeout, c.Beats = 2, 1, true })},
		{"1 node, window 2, timeout 4", false, one(func(c *Config) { c.Window, c.Timeout = 2, 4 })},
		{"1 node, broker with 2 sources", false, one(func(c *Config) { c.Sources = 2 })},
		{"1 node, 2 sources, no stranger", false, one(func(c *Config) { c.Sources, c.Strangers, c.Victims, c.Queue = 2, 0, 3, 1 })},
		{"1 node, stranger with 2 connections", false, one(func(c *Config) { c.Strangers, c.Queue = 2, 1 })},
		{"1 node, --admin-from", false, one(func(c *Config) { c.Admin = true })},
		{"2 nodes, no stranger", false, two(func(c *Config) { c.Strangers, c.Victims = 0, 2 })},
		{"2 nodes, prompt", false, two(func(c *Config) { c.Prompt = true })},
		{"2 nodes, prompt, silent stranger", false, two(func(c *Config) { c.Prompt, c.Silent = true, true })},
		{"2 nodes, stranger at one, old connections", false, two(func(c *Config) { c.Prompt, c.Reach, c.Victims = true, 1, 2 })},
		{"2 nodes, broker with 2 sources", true, two(func(c *Config) { c.Prompt, c.Sources, c.Reach = true, 2, 1 })},
		{"2 nodes, late frames, stranger at one", false, two(func(c *Config) { c.Reach, c.Again = 1, false })},
		{"2 nodes, late frames, no time", false, two(func(c *Config) { c.Still = true })},
		{"3 nodes, stranger at one", false, two(func(c *Config) { c.Nodes, c.Still, c.Prompt, c.Again, c.Reach = 3, true, true, false, 1 })},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !test.gate && !full() {
				t.Skip("SKIPPED: takes minutes: make night-claims")
			}
			rule(t, &test.cfg)
		})
	}
}

// The largest configurations, one at a time: hours, and some gigabytes.
func TestLargest(t *testing.T) {
	for name, cfg := range map[string]Config{
		"2 nodes, 2 sources, old connections":   two(func(c *Config) { c.Prompt, c.Sources, c.Victims, c.Reach = true, 2, 2, 1 }),
		"2 nodes, late frames, old connections": two(func(c *Config) { c.Reach, c.Again, c.Victims = 1, false, 2 }),
		"3 nodes, stranger at two":              two(func(c *Config) { c.Nodes, c.Still, c.Prompt, c.Again, c.Reach = 3, true, true, false, 3 }),
		"2 nodes, late frames":                  two(func(*Config) {}),
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv("MODEL") != "largest" {
				t.Skip("SKIPPED: takes hours: make night-claims MODEL=largest")
			}
			rule(t, &cfg)
		})
	}
}

func rule(t *testing.T, cfg *Config) {
	t.Helper()
	r := cfg.Search(limit, !full())
	t.Logf("%d worlds, %d deep", r.Worlds, r.Depth)
	if r.Broken != "" || !r.Finished {
		t.Errorf("%s (finished: %v)", r.Broken, r.Finished)
		tell(t, &r)
	}
}

func tell(t *testing.T, r *Result) {
	t.Helper()
	for i, s := range r.Steps {
		t.Logf("%2d %v", i+1, s)
	}
}

// Each clause is needed: left out or changed, it breaks the promise that is named first.
func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		promise string
		gate    bool
		cfg     Config
	}{
		"one order for all sources":              {"P3", true, one(func(c *Config) { c.Fault = OneOrder })},
		"no window":                              {"P2", true, one(func(c *Config) { c.Fault = NoWindow })},
		"an heir has the whole timeout":          {"P4", true, one(func(c *Config) { c.Fault = HeirForGood })},
		"an heir may be stale":                   {"P4", true, one(func(c *Config) { c.Fault = StaleHeir })},
		"a REGISTER does not lift the limit":     {"P2", true, one(func(c *Config) { c.Fault = LimitStays })},
		"an UNREGISTER needs a claim":            {"P3", true, one(func(c *Config) { c.Fault, c.Sources, c.Strangers = NeedsClaim, 2, 0 })},
		"every loss asks for the window":         {"P2", true, one(func(c *Config) { c.Fault, c.Sources = EveryLossAsks, 2 })},
		"the same, no stranger":                  {"P2", true, one(func(c *Config) { c.Fault, c.Sources, c.Strangers = EveryLossAsks, 2, 0 })},
		"an UNREGISTER ends its own claim only":  {"P3", true, one(func(c *Config) { c.Fault = OwnOnly })},
		"an UNREGISTER on an older connection":   {"P", true, one(func(c *Config) { c.Fault, c.Strangers = OlderUnregister, 0 })},
		"a REGISTER on an older connection owns": {"P1", true, one(func(c *Config) { c.Fault, c.Strangers = OlderRegister, 0 })},
		"a claim outlives its connection":        {"P6", true, one(func(c *Config) { c.Fault = DeadClaim })},
		"a PROXY header is believed":             {"P3", true, one(func(c *Config) { c.Fault = Header })},
		"an order where a source is no machine":  {"P3", true, one(func(c *Config) { c.Fault = SharedOrder })},
		"--admin-from: an exempt one ends all":   {"P2", true, one(func(c *Config) { c.Fault, c.Admin = AdminEndsAll, true })},
		"a vanished host takes all claims":       {"P2", true, one(func(c *Config) { c.Fault, c.Vanishes = VanishTakesAll, true })},
		"a vanished host takes what shows":       {"P2", true, one(func(c *Config) { c.Fault, c.Vanishes = VanishOfShown, true })},
		"a tombstone takes all claims":           {"P2", false, two(func(c *Config) { c.Fault = TakesAll })},
		"a tombstone of what shows":              {"P7", false, two(func(c *Config) { c.Fault, c.Silent = OfShown, true })},
		"the stamps of what shows":               {"P1", false, two(func(c *Config) { c.Fault, c.Victims = StampsOfShown, 2 })},
		"anybody's UNREGISTER makes a tombstone": {"P5", false, two(func(c *Config) { c.Fault = Anybodys })},
	} {
		t.Run(name, func(t *testing.T) {
			if !test.gate && !full() {
				t.Skip("SKIPPED: takes a minute: make night-claims")
			}
			r := test.cfg.Search(limit, true)
			t.Logf("%d worlds, %d steps to %q", r.Worlds, len(r.Steps), r.Broken)
			if !strings.HasPrefix(r.Broken, test.promise) {
				t.Errorf("%q, want %s to break", r.Broken, test.promise)
			}
			tell(t, &r)
		})
	}
}
