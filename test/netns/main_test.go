//go:build linux

// Package netns proves on real kernels, sockets and brokers what the simulations prove of the rule: epitaph nodes, each
// the real binary in a network namespace of its own, beside released RocketMQ brokers and NameServers in theirs, while
// iptables cuts, blocks and loses what passes between them.
//
//	EPITAPH_NETNS=1      what CI runs
//	EPITAPH_NETNS=long   the same with 30 restarts, a longer storm, and 120 s of waiting for Java NameServers
//
// Times are printed as a table at the end and never asserted: what is asserted are outcomes, and that they come at all.
// Without EPITAPH_NETNS, with -short, and where root, ip, iptables, java or mvn are missing, everything here is skipped,
// saying so. Nothing leaves the namespaces, which have no way out.
package netns

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// suite is what all tests of one run share: made once by TestMain, read only afterwards.
type suite struct {
	binary string // the built epitaph
	build  error  // why there is none
	slots  *semaphore.Weighted
}

var shared suite

// Weights of Java programs, in units of about 200 MB: at most five brokers at once, or as much of the others.
const (
	weightBroker = 2
	weightSmall  = 1 // NameServer, client
	weightLimit  = 10
)

// TestMain builds epitaph once and removes what earlier runs that died left behind.
func TestMain(m *testing.M) {
	flag.Parse()
	shared.slots = semaphore.NewWeighted(weightLimit)
	if mode() != "" && unmet() == nil {
		shared.build = flag.Set("test.parallel", "32") // the slots are the limit, not the cores: tests wait a lot
		dir, err := os.MkdirTemp("", "epitaph-netns-")
		if err == nil {
			defer func() { _ = os.RemoveAll(dir) }()
			shared.binary = filepath.Join(dir, "epitaph")
			err = kit.BuildTo(shared.binary, "../..")
		}
		shared.build = errors.Join(shared.build, err, removeLeftovers())
	}
	m.Run()
	figures.print(os.Stdout)
}

func mode() string { return os.Getenv("EPITAPH_NETNS") }

func long() bool { return mode() == "long" }

// unmet says what this machine lacks for namespaces.
func unmet() error {
	var missing []error
	if os.Geteuid() != 0 {
		missing = append(missing, errors.New("network namespaces need root"))
	}
	for _, program := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Errorf("%s is not on the PATH (apt-get install iproute2 iptables)", program))
		}
	}
	return errors.Join(missing...)
}

// need skips t unless it was asked for and can be run here, and lets it run beside others. A test names the weight of
// all the Java programs it will ever have at once, so two tests cannot wait for each other.
func need(t *testing.T, weight int64) {
	t.Helper()
	if mode() == "" || testing.Short() {
		t.Skip("SKIPPED: set EPITAPH_NETNS=1 to prove this with nodes and brokers in network namespaces")
	}
	if err := unmet(); err != nil {
		t.Skipf("SKIPPED, not proven on this machine: %v", err)
	}
	if weight > 0 {
		java.Require(t)
	}
	if shared.build != nil {
		t.Fatal(shared.build)
	}
	t.Parallel()
	if err := shared.slots.Acquire(context.Background(), weight); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	t.Cleanup(func() {
		shared.slots.Release(weight)
		t.Logf("took %s", time.Since(began).Round(time.Second/10))
	})
}

// await polls check until it returns nil, and fails t with its last error after limit. It returns how long it took.
func await(t testing.TB, limit time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		<-ticker.C
	}
}

// pass waits for d to go by, for scenarios whose very subject is a time that passes.
func pass(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.FailNow()
	}
}
