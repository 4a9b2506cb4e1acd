package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// WindowScene is what happens to one of two brokers.
type WindowScene string

// The scenes of RunWindow.
const (
	WindowUnheard WindowScene = "unheard" // it stops in order, and one NameServer does not hear it
	WindowKilled  WindowScene = "killed"
)

// windowScenes says how long each is watched: until no NameServer and no client can name the broker any longer.
var windowScenes = []struct {
	scene  WindowScene
	title  string
	watch  time.Duration
	strike func(*windowCluster) error
}{
	// 120 s of silence, 5 s between two looks of the Java NameServer, 30 s between two polls of a client; 10 s to spare.
	{WindowUnheard, "leaves, unheard by one", 165 * time.Second, (*windowCluster).leave},
	{WindowKilled, "is killed", 60 * time.Second, (*windowCluster).kill},
}

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

// programs are those of c, with the ones that this machine lacks.
func (c *WindowConfig) programs() []windowProgram {
	java := func(key, title, cp, artifact string) windowProgram {
		p := windowProgram{key: key, title: title, kinds: javaKinds}
		if cp == "" {
			p.missing = fmt.Errorf("no class path of %s with its class Window; `make bench-clients` makes it, with Maven", artifact)
		}
		p.argv = append([]string{"java"}, windowJVM("256m")...)
		p.argv = append(p.argv, "-cp", cp, "Window")
		return p
	}
	five := java("java-5", "Java 5.5.0", c.Java5CP, "org.apache.rocketmq:rocketmq-client:5.5.0")
	four := java("java-4", "Java 4.9.7", c.Java4CP, "org.apache.rocketmq:rocketmq-client:4.9.7")
	golang := windowProgram{key: "go", title: "Go 2.1.2", kinds: goKinds}
	program, err := filepath.Abs(c.Go) // it gets a directory of its own
	if _, missing := os.Stat(program); c.Go == "" || errors.Join(err, missing) != nil {
		golang.missing = fmt.Errorf("no program on rocketmq-client-go at %q; `make bench-clients` builds it", c.Go)
	}
	golang.argv = []string{program}
	return []windowProgram{five, four, golang}
}

// windowJVM are flags of every Java program but the NameServer: a small heap, a collector without threads of its own.
func windowJVM(heap string) []string {
	return []string{"-Duser.home={dir}", "-Xms64m", "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dtls.server.mode=disabled"}
}
