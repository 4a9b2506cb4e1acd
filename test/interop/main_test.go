// Package interop proves against released Apache RocketMQ software that epitaph serves in the place of the Java
// name server: brokers, clients, the proxy, the controller and the tools are real processes.
//
//	EPITAPH_INTEROP=1     what CI runs
//	EPITAPH_INTEROP=long  the same with more broker releases and more messages
//	EPITAPH_INTEROP_TARGET=java    the Java name server 5.5.0 takes epitaph's place: proves the tests
//	EPITAPH_INTEROP_JVMS=n         at most n Java programs at once (default 6; a broker needs 450 MB)
//
// Without EPITAPH_INTEROP, with -short, and where java or mvn are missing, everything here is skipped, saying so.
package interop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// suite is what all tests of one run share: made once by TestMain, read only afterwards.
type suite struct {
	binary string // the built epitaph; "" when Java takes its place
	build  error  // why there is none
	slots  *semaphore.Weighted
	limit  int64
}

var shared suite

// defaultJVMs fits a machine of 2 cores and 8 GB.
const defaultJVMs = 6

// TestMain builds epitaph once, when tests that need it were asked for.
func TestMain(m *testing.M) {
	shared.limit = defaultJVMs
	if n, err := strconv.ParseInt(os.Getenv("EPITAPH_INTEROP_JVMS"), 10, 64); err == nil && n > 0 {
		shared.limit = n
	}
	shared.slots = semaphore.NewWeighted(shared.limit)
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil { // the slots are the limit, not the cores: tests wait a lot
		shared.build = fmt.Errorf("let tests run side by side: %w", err)
	}
	if mode() != "" && target() == targetEpitaph {
		dir, err := os.MkdirTemp("", "epitaph-interop-")
		if err == nil {
			defer func() { _ = os.RemoveAll(dir) }()
			shared.binary = filepath.Join(dir, "epitaph")
			err = kit.BuildTo(shared.binary, "../..")
		}
		shared.build = errors.Join(shared.build, err)
	}
	m.Run()
}

func mode() string { return os.Getenv("EPITAPH_INTEROP") }

func long() bool { return mode() == "long" }

// need skips t unless interop tests were asked for, takes n of the JVM slots for the time of the test and lets t
// run beside others. A test names all the JVMs it will ever have at once, so two tests cannot wait for each other.
func need(t *testing.T, n int64) {
	t.Helper()
	if mode() == "" || testing.Short() {
		t.Skip("SKIPPED: set EPITAPH_INTEROP=1 to prove this with released Java software")
	}
	java.Require(t)
	if shared.build != nil {
		t.Fatal(shared.build)
	}
	t.Parallel()
	n = min(n, shared.limit)
	if err := shared.slots.Acquire(context.Background(), n); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	t.Cleanup(func() {
		shared.slots.Release(n)
		t.Logf("took %s with %d JVMs", time.Since(began).Round(time.Second/10), n)
	})
}

// worthTelling is how long a wait must be for the log to mention it: the sum explains a test's duration.
const worthTelling = 5 * time.Second

// soon is what happens at once, on a machine that may be busy: far from the 30 s after which a broker registers again, and
// the 120 s after which a silent one is forgotten. How long it really took is logged.
const soon = 20 * time.Second

// await polls check until it returns nil, and fails t with its last error after limit. It returns how long it took.
func await(t testing.TB, limit time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			if took := time.Since(began); took > worthTelling {
				t.Logf("waited %s: %s", took.Round(time.Second/10), what)
			}
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		<-ticker.C
	}
}
