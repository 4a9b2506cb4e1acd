package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Scene is one thing that a fleet of clients does, or that happens to it.
type Scene string

// The scenes of RunFleet.
const (
	SceneSteady    Scene = "steady"    // every client polls every period, each at a time of its own
	SceneHerd      Scene = "herd"      // all poll at the same moment
	SceneReconnect Scene = "reconnect" // all connections are closed and opened again
	SceneRestart   Scene = "restart"   // the server is killed and started; brokers and clients come back
	SceneMeanwhile Scene = "meanwhile" // steady, while Meanwhile of FleetConfig runs; played if and only if there is one
	SceneSilent    Scene = "silent"    // steady, and each client holds one more connection on which nothing is sent
	SceneStorm     Scene = "storm"     // steady, while hundreds of brokers register
)

// Scenes are all scenes that can be asked for, in the order of the page.
func Scenes() []Scene {
	return []Scene{SceneSteady, SceneHerd, SceneReconnect, SceneRestart, SceneSilent, SceneStorm}
}

// TargetScenes are those that can be played with a server that was not started here.
func TargetScenes() []Scene {
	return []Scene{SceneSteady, SceneHerd, SceneReconnect, SceneSilent, SceneStorm}
}

const (
	// maxQueries bounds clients x topics: the number of a query has to fit into its opaque, beside its lap.
	queryBits  = 24
	maxQueries = 1 << queryBits
	// maxSources keeps addresses in 127.0.0.0/8.
	maxSources = 1 << 20
	// queryGap is between two queries of one client's poll. A Java client asks for one topic after the other and waits for
	// each answer; this is about as long as that takes, and does not depend on the server.
	queryGap = time.Millisecond
	// clientPatience is how long a Java client waits for the answer to a route query.
	clientPatience = 3 * time.Second
)

// FleetConfig is one run of RunFleet.
type FleetConfig struct {
	Peers
	Target  string   // HOST:PORT of a running NameServer; "": start the servers, each on a core of its own
	PID     int      // of the Target where it is local; 0: look for it
	Servers []string // which to start; empty: ours, the ceiling, Java as shipped, Rust

	Meanwhile func(context.Context) error // of scene meanwhile

	Clients []int         // sizes of the fleet, ascending; what happens beside steady happens to the first and the last
	Sources int           // loopback addresses that they come from; 0: as few as ports allow
	Each    int           // topics that each client polls
	Period  time.Duration // between two polls of a client
	Profile Profile       // brokers and topics of all scenes but storm
	Storm   Profile       // brokers and topics of storm
	Scenes  []Scene
	Rounds  int // each server is started afresh in each

	Window    time.Duration // measured time of steady and silent, and after a storm
	Warmup    time.Duration // before it
	Register  time.Duration // between two registrations of a broker; after a restart they come back within it
	StormTime time.Duration // in which the brokers of storm register
	Herd      time.Duration // in which all clients poll in herd, and come back in reconnect; 0: as short as this machine can
	MaxLag    time.Duration // a measurement is thrown away when the generator itself was later than this at the 99th percentile
	Seed      uint64        // the same seed makes the same plan: who polls what, when
}

// DefaultFleetConfig is what the published page shows.
func DefaultFleetConfig() FleetConfig {
	return FleetConfig{
		Clients: []int{900, 1_000, 5_000, 15_000}, Each: 20, Period: 30 * time.Second,
		Profile: Profile{Name: "two-brokers", Brokers: 2, Topics: 10_000, Width: 2},
		Storm:   Profile{Name: "storm", Brokers: 300, Topics: 100_000, Width: 30},
		Scenes:  Scenes(), Rounds: 5, Window: 30 * time.Second, Warmup: 5 * time.Second,
		Register: 30 * time.Second, StormTime: 30 * time.Second, MaxLag: 10 * time.Millisecond, Seed: 1,
	}
}

// FleetServers are those that are measured unless asked otherwise.
func FleetServers() []string { return []string{Ours, Ceiling, JavaBig, Rust} }

// Validate reports every fault of c, each with its remedy.
func (c *FleetConfig) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	within := func(name string, d, least, most time.Duration) {
		if d < least || d > most {
			bad("%s: %v is not within %v to %v", name, d, least, most)
		}
	}
	if c.Target == "" && len(c.Ours) == 0 {
		bad("ours: no command line of our server, and no target")
	}
	if c.Target != "" && len(c.Servers) > 0 {
		bad("servers: these are started here and do not go with a target; leave one of the two out")
	}
	if c.Target != "" && slices.Contains(c.Scenes, SceneRestart) {
		bad("scenes: restart kills the server, which is not done to a target; leave it out of the scenes")
	}
	for _, s := range c.Servers {
		if known := append(FleetServers(), JavaSmall); !slices.Contains(known, s) {
			bad("servers: %q is none of %v", s, known)
		}
	}
	for _, s := range c.Scenes {
		if !slices.Contains(Scenes(), s) {
			bad("scenes: %q is none of %v", s, Scenes())
		}
	}
	if len(c.Scenes) == 0 && c.Meanwhile == nil {
		bad("scenes: none; name some of %v", Scenes())
	}
	if c.Each < 1 || c.Each > 1000 {
		bad("topics-each: %d is not within 1 to 1000", c.Each)
	}
	if len(c.Clients) == 0 || !slices.IsSorted(c.Clients) {
		bad("clients: %v is no ascending list of sizes", c.Clients)
	}
	for _, n := range c.Clients {
		if n < 1 || n > maxQueries/max(c.Each, 1) {
			bad("clients: %d is not within 1 to %d (with %d topics each)", n, maxQueries/max(c.Each, 1), c.Each)
		}
	}
	if c.Sources < 0 || c.Sources > maxSources {
		bad("sources: %d is not within 0 to %d", c.Sources, maxSources)
	}
	within("period", c.Period, max(time.Second, time.Duration(c.Each)*queryGap), time.Hour)
	within("window", c.Window, 100*time.Millisecond, time.Hour)
	within("warmup", c.Warmup, 0, time.Hour)
	within("register-every", c.Register, 100*time.Millisecond, time.Hour)
	within("storm-time", c.StormTime, 100*time.Millisecond, time.Hour)
	within("max-lag", c.MaxLag, time.Microsecond, time.Hour)
	if c.Herd != 0 {
		within("herd", c.Herd, 100*time.Millisecond, time.Hour)
	}
	if c.Rounds < 1 || c.Rounds > 100 {
		bad("rounds: %d is not within 1 to 100", c.Rounds)
	}
	for _, p := range []Profile{c.Profile, c.Storm} {
		if err := p.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("profile %s: %w", p.Name, err))
		} else if p.Topics < 2*c.Each {
			bad("topics: %d are too few for clients that poll %d different ones by their popularity; give twice as many", p.Topics, c.Each)
		}
	}
	return errors.Join(faults...)
}

func (c *FleetConfig) wants(scene Scene) bool {
	if scene == SceneMeanwhile {
		return c.Meanwhile != nil
	}
	return slices.Contains(c.Scenes, scene)
}
