package java

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// compileLimit bounds one run of javac.
const compileLimit = 2 * time.Minute

// Compile compiles one Java source file against the jars of lib and returns a directory with the classes, once for each
// text of the source.
func Compile(t testing.TB, source, lib string) string {
	t.Helper()
	Require(t)
	classes, err := Classes(source, lib)
	if err != nil {
		t.Fatalf("compile %s: %v", source, err)
	}
	return classes
}

// Classes is Compile without a test.
func Classes(source, lib string) (classes string, err error) {
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	cache, err := kit.Cache()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(text, lib...))
	classes = filepath.Join(cache, fmt.Sprintf("classes-%x", sum[:8]))
	unlock, err := kit.Lock(classes + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(classes); err == nil {
		return classes, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), compileLimit)
	defer cancel()
	work := classes + ".new"
	cmd := exec.CommandContext(ctx, "javac", "-nowarn", "-cp", ClassPath(lib), "-d", work, source)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, text)
	}
	return classes, os.Rename(work, classes)
}

// ClientOptions are what a test may choose of the compiled clients (test/interop/java) and of those that print the
// same lines.
type ClientOptions struct {
	Endpoint string // name server of a remoting client, proxy of a gRPC client
	Topic    string
	Group    string        // consumer group; "": does not consume
	Count    int           // messages to send; negative: until it is ended; 0: does not send
	Every    time.Duration // pause between two messages
	// SendTimeout is how long one send may take, 3 s if 0, as the client has it. Longer: what is looked for fails at once, and a
	// broker on a busy machine is given its time.
	SendTimeout time.Duration
	JVM         []string // more flags of the Java machine
}

// Args is the command line that every client of the tests takes.
func (o ClientOptions) Args() []string {
	group := o.Group
	if group == "" {
		group = "-"
	}
	return []string{o.Endpoint, o.Topic, group, strconv.Itoa(o.Count), strconv.FormatInt(o.Every.Milliseconds(), 10)}
}

// rebalanceSoon lets a consumer look after a second, not 20, what it should read.
const rebalanceSoon = "-Drocketmq.client.rebalance.waitInterval=1000"

// Client is a running producer and consumer that prints one line per event: "OK id broker" for a message that was
// sent, "FAIL id text" for one that was not, "GOT id broker" for one received.
type Client struct {
	*kit.Process

	mu     sync.Mutex // guards events
	events Events
}

// NewClient reads the events of a client that was just started.
func NewClient(p *kit.Process) *Client {
	c := &Client{Process: p, events: Events{Sent: map[string]string{}, Failed: map[string]string{}, Received: map[string]string{}}}
	p.Tap(c.note)
	return c
}

// StartClient runs a compiled client with the jars it was compiled against.
func StartClient(t testing.TB, main, classes, lib string, o ClientOptions) *Client {
	t.Helper()
	home := t.TempDir()
	timeout := fmt.Sprintf("-DsendTimeout=%d", cmp.Or(o.SendTimeout, 3*time.Second).Milliseconds())
	return NewClient(Start(t, Command{
		ClassPath: ClassPath(lib) + ":" + classes,
		JVM:       slices.Concat(Flags(home, "256m"), []string{rebalanceSoon, timeout}, o.JVM),
		Main:      main,
		Args:      o.Args(),
		Dir:       home,
	}))
}

// StartBoth runs the benchmark producer and consumer of rocketmq-example 5.5.0 in one JVM, by the launcher compiled
// from test/interop/java/Both.java.
func StartBoth(t testing.TB, classes, lib, nameServer, topic string) *kit.Process {
	t.Helper()
	home := t.TempDir()
	return Start(t, Command{
		ClassPath: ClassPath(lib) + ":" + classes,
		JVM:       append(Flags(home, "384m"), rebalanceSoon),
		Main:      "Both",
		Args:      []string{nameServer, topic},
		Dir:       home,
	})
}

var eventLine = regexp.MustCompile(`^(OK|FAIL|GOT) (\d+) ?(.*)$`)

// Events is what a client printed so far.
type Events struct {
	Sent     map[string]string // id -> broker
	Failed   map[string]string // id -> text
	Received map[string]string // id -> broker
	Last     string            // kind of the newest send: "OK" or "FAIL"
	Failure  string            // text of the newest that failed
}

// note takes one line of the output.
func (c *Client) note(line string) {
	m := eventLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.events
	switch m[1] {
	case "OK":
		e.Sent[m[2]], e.Last = m[3], "OK"
	case "FAIL":
		e.Failed[m[2]], e.Last, e.Failure = m[3], "FAIL", m[3]
	case "GOT":
		e.Received[m[2]] = m[3]
	}
}

// Events is everything so far.
func (c *Client) Events() Events {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.events
	e.Sent, e.Failed, e.Received = maps.Clone(e.Sent), maps.Clone(e.Failed), maps.Clone(e.Received)
	return e
}

// Missing says which of the sent messages were not received, "" for none.
func (e Events) Missing() string {
	var ids []string
	for id := range e.Sent {
		if _, ok := e.Received[id]; !ok {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d sent messages not received, e.g. id %s", len(ids), len(e.Sent), ids[0])
}

// Source is a file below test/interop/java, seen from test/interop.
func Source(name string) string { return filepath.Join("java", name) }
