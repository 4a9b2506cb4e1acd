package mqadmin

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// settling bounds the wait until both NameServers show the same after a command.
const settling = time.Minute

// TestMQAdmin runs every mqadmin command of 5.5.0 that asks a NameServer in a world with ours and in one with the Java
// NameServer: what they print is the same, and so is what they and the NameServer say to each other.
//
// Row 159: every mqadmin command (docs/spec/nameserver.md#mqadmin) prints the same as with the Java NameServer.
func TestMQAdmin(t *testing.T) {
	if os.Getenv("EPITAPH_INTEROP") == "" || testing.Short() {
		t.Skip("SKIPPED: set EPITAPH_INTEROP=1 to prove this with released Java software")
	}
	java.Require(t)
	d := startDriver(t)
	ours, home := startOurs(t)
	theirs, javaHome := startJava(t)
	worlds := []*world{startWorld(t, "ours", ours, home), startWorld(t, "java", theirs, javaHome)}
	for _, w := range worlds {
		w.broker.MustBoot(t)
	}
	settle(t, worlds, "the start")
	t.Run("every command is here", func(t *testing.T) { checkNames(t, d) })
	for i, c := range commands() {
		if c.args == registerSimulated {
			startSimulatedGroup(t, worlds)
			settle(t, worlds, c.args)
			continue
		}
		t.Run(fmt.Sprintf("%03d %s", i, strings.Fields(c.args)[0]), func(t *testing.T) { compareCommand(t, d, worlds, c) })
	}
	t.Run("startMonitoring asks", func(t *testing.T) { compareMonitoring(t, worlds) })
}

// checkNames compares the table of commands with the list that mqadmin itself prints.
func checkNames(t *testing.T, d *driver) {
	printed, err := d.run(nil, 0)
	kit.Must(t, err)
	known := silent()
	for _, c := range commands() {
		known = append(known, strings.Fields(c.args)[0])
	}
	names := regexp.MustCompile(`(?m)^   (\w+) `).FindAllStringSubmatch(printed, -1)
	if len(names) < 90 {
		t.Fatalf("mqadmin lists %d commands:\n%s", len(names), printed)
	}
	for _, m := range names {
		if !slices.Contains(known, m[1]) {
			t.Errorf("mqadmin has a command %s, which is neither compared nor known to be silent", m[1])
		}
	}
}

// bodyFile is where commands that show a message leave its body, in a place that they do not let one choose.
var bodyFile = regexp.MustCompile(`(?m)^Message Body Path:\s+(\S+/[0-9A-F]{32,})$`)

// compareCommand runs one command in both worlds.
func compareCommand(t *testing.T, d *driver, worlds []*world, c command) {
	printed, said := runCommand(t, d, worlds, c)
	for tries := 1; c.settles && tries < 5 && (c.text != free && printed[0] != printed[1] || said[0] != said[1]); tries++ {
		printed, said = runCommand(t, d, worlds, c)
	}
	if diff := cmp.Diff(printed[1], printed[0]); diff != "" && c.text != free {
		t.Errorf("%s prints: -java +ours\n%s", c.args, diff)
	}
	if diff := cmp.Diff(said[1], said[0]); diff != "" {
		t.Errorf("%s asks and hears: -java +ours\n%s", c.args, diff)
	}
	if os.Getenv("MQADMIN_SHOW") != "" {
		t.Logf("%s\n%s\n%s", c.args, printed[1], said[1])
	}
	settle(t, worlds, c.args)
}

// runCommand is what a command printed in each world, and what was said meanwhile.
func runCommand(t *testing.T, d *driver, worlds []*world, c command) (printed, said [2]string) {
	t.Helper()
	for i, w := range worlds {
		w.relay.Take()
		words := w.words(c)
		if strings.Contains(strings.Join(words, " "), "{") {
			t.Fatalf("%s: %q has a name that no command before it captured", w.name, words)
		}
		out, err := d.run(words, c.limit)
		if err != nil {
			t.Fatalf("%s: %q: %v", w.name, words, err)
		}
		if m := bodyFile.FindStringSubmatch(out); m != nil {
			os.Remove(m[1])
		}
		for name, find := range c.capture {
			m := find.FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("%s: %q printed nothing like %s:\n%s", w.name, words, find, out)
			}
			w.captured[name] = m[1]
		}
		seen := w.relay.Take()
		for _, code := range c.codes {
			if !slices.ContainsFunc(seen, func(e kit.Exchange) bool { return e.Request.Code == code && e.Answer != nil }) {
				t.Errorf("%s: %q did not ask with code %d, or got no answer; it printed:\n%s", w.name, words, code, out)
			}
		}
		printed[i] = w.readable(out, c.text)
		said[i] = strings.Join(w.conversation(seen), "\n")
	}
	return printed, said
}

// compareMonitoring waits for the first round of startMonitoring: it lists all topics.
func compareMonitoring(t *testing.T, worlds []*world) {
	for _, w := range worlds {
		kit.Await(t, time.Minute, w.name+": the first round of startMonitoring", func() error {
			if !slices.ContainsFunc(w.relay.Seen(206), func(e kit.Exchange) bool { return e.Answer != nil }) {
				return fmt.Errorf("no answered request of code 206")
			}
			return nil
		})
	}
}

// settle waits until both NameServers show the same tables: brokers register what a command changed in their own time.
func settle(t *testing.T, worlds []*world, after string) {
	t.Helper()
	kit.Await(t, settling, "same tables after "+after, func() error {
		ours, err := worlds[0].tables()
		if err != nil {
			return err
		}
		theirs, err := worlds[1].tables()
		if err != nil {
			return err
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			return fmt.Errorf("-java +ours\n%s", diff)
		}
		return nil
	})
}
