package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// WindowScene is what happens to one of two brokers.
type WindowScene string

// The scenes of RunWindow.
const (
	WindowUnheard  WindowScene = "unheard" // it stops in order, and one NameServer does not hear it
	WindowKilled   WindowScene = "killed"
	WindowVanishes WindowScene = "vanishes" // its machine is gone without a word
)

// windowPlay is how a scene goes. It is watched until no NameServer and no client can name the broker any longer.
type windowPlay struct {
	scene  WindowScene
	title  string
	watch  time.Duration
	strike func(*windowCluster) error
	apart  bool     // each broker is on a machine of its own, in a network that is nobody else's: Java NameServers and ours are played at once
	flags  []string // of our NameServers, beside the defaults
}

var windowScenes = []windowPlay{
	// 120 s of silence, 5 s between two looks of the Java NameServer, 30 s between two polls of a client; 10 s to spare.
	{scene: WindowUnheard, title: "leaves, unheard by one", watch: 165 * time.Second, strike: (*windowCluster).leave},
	{scene: WindowKilled, title: "is killed", watch: 60 * time.Second, strike: (*windowCluster).kill},
	// A client's attempts at the machine that is gone, 3 s each, hold up its polls.
	{scene: WindowVanishes, title: "vanishes", watch: 175 * time.Second, strike: (*windowCluster).vanish, apart: true,
		flags: []string{"--gossip-insecure", "--dead-hosts", "on"}},
}

func (s WindowScene) play() windowPlay { return windowScenes[slices.Index(WindowScenes(), s)] }

// WindowScenes are all scenes, in the order of the page.
func WindowScenes() (all []WindowScene) {
	for _, s := range windowScenes {
		all = append(all, s.scene)
	}
	return all
}

// The kinds of clients; the programs know them by these names.
const (
	windowPlain    = "plain"
	windowFault    = "fault-latency"
	windowOrdered  = "ordered"
	windowPoll     = "ordered-poll5s"
	windowConsumer = "consumer"
)

// windowKind is how clients of one kind differ, and how many of them a program has.
type windowKind struct {
	key, title string
	count      int
}

var (
	javaKinds = []windowKind{
		{windowPlain, "as shipped", 3}, {windowFault, "fault latency on", 2}, {windowOrdered, "by key", 3},
		{windowPoll, "by key, polls every 5 s", 2}, {windowConsumer, "consumer", 1},
	}
	goKinds = []windowKind{{windowPlain, "as shipped", 3}, {windowOrdered, "by key", 3}, {windowConsumer, "consumer", 1}}
)

// retries tells whether clients of a kind send a message that failed again.
func (k windowKind) retries() bool { return k.key == windowPlain || k.key == windowFault }

// client is the name of the i-th client of a kind.
func (k windowKind) client(i int) string { return fmt.Sprintf("%s-%d", k.key, i) }

// polls tells whether clients of a kind poll as they do by default.
func (k windowKind) polls() bool { return k.key != windowPoll }

// WindowConfig is one run of RunWindow.
type WindowConfig struct {
	Peers           // Ours and JavaCP
	BrokerCP string // class path of the Java broker 5.5.0
	Java5CP  string // class path of the Java client 5.5.0, with the compiled class Window in front; "": named as missing
	Java4CP  string // the same of 4.9.7
	Go       string // program of the Go client; "": named as missing
	Rounds   int    // everything is started afresh in each
	Scenes   []WindowScene
}

// DefaultWindowConfig is every scene, twice.
func DefaultWindowConfig() WindowConfig { return WindowConfig{Rounds: 2, Scenes: WindowScenes()} }

// Validate reports every fault of c, each with its remedy.
func (c *WindowConfig) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.Ours) == 0 {
		bad("ours: no command line of our server")
	}
	if _, err := exec.LookPath("java"); err != nil {
		bad("java is not on the PATH, and brokers are Java programs; install a JDK 17")
	}
	if c.BrokerCP == "" {
		bad("broker-cp: no class path of org.apache.rocketmq:rocketmq-broker:5.5.0; `make bench-clients` fetches it by Maven")
	}
	if c.Java5CP == "" && c.Java4CP == "" && c.Go == "" {
		bad("clients: none is given; `make bench-clients` makes them, with Maven")
	}
	if c.Rounds < 1 || c.Rounds > 100 {
		bad("rounds: %d is not within 1 to 100", c.Rounds)
	}
	if len(c.Scenes) == 0 {
		bad("scenes: none; name some of %v", WindowScenes())
	}
	for _, s := range c.Scenes {
		if !slices.Contains(WindowScenes(), s) {
			bad("scenes: %q is none of %v", s, WindowScenes())
		}
	}
	return errors.Join(faults...)
}

// windowProgram is a program with clients of one release.
type windowProgram struct {
	key, title string
	argv       []string
	kinds      []windowKind
	missing    error
}

var windowPrograms = []windowProgram{
	{key: "java-5", title: "Java 5.5.0", kinds: javaKinds}, {key: "java-4", title: "Java 4.9.7", kinds: javaKinds},
	{key: "go", title: "Go 2.1.2", kinds: goKinds},
}

// programs are windowPrograms as c starts them, with what this machine lacks.
func (c *WindowConfig) programs() []windowProgram {
	all := slices.Clone(windowPrograms)
	for i, cp := range []string{c.Java5CP, c.Java4CP} {
		p := &all[i]
		if cp == "" {
			p.missing = fmt.Errorf("no class path of org.apache.rocketmq:rocketmq-client:%s with its class Window; `make bench-clients` makes it, with Maven",
				strings.TrimPrefix(p.title, "Java "))
		}
		p.argv = slices.Concat([]string{"java"}, windowJVM("256m"), []string{"-cp", cp, "Window"})
	}
	golang := &all[2]
	program, err := filepath.Abs(c.Go) // it gets a directory of its own
	if _, missing := os.Stat(program); c.Go == "" || errors.Join(err, missing) != nil {
		golang.missing = fmt.Errorf("no program on rocketmq-client-go at %q; `make bench-clients` builds it", c.Go)
	}
	golang.argv = []string{program}
	return all
}

// windowJVM are flags of every Java program but the NameServer: a small heap, a collector without threads of its own.
func windowJVM(heap string) []string {
	return []string{"-Duser.home={dir}", "-Xms64m", "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dtls.server.mode=disabled"}
}
