//go:build linux

// Package netns proves on real kernels, sockets and brokers what the simulations prove of the rule: epitaph nodes, each
// the real binary in a network namespace of its own, beside released RocketMQ brokers and NameServers in theirs, while
// iptables cuts, blocks and loses what passes between them.
//
//	EPITAPH_NETNS=1      what CI runs
//	EPITAPH_NETNS=long   the same with 30 restarts, a longer storm and partition, and 120 s of waiting for Java NameServers
//
// Times, to 5 ms (1 ms in the long form), are printed as a table at the end and never asserted: what is asserted are outcomes, and that they come at all.
// Without EPITAPH_NETNS, with -short, and where root, ip, iptables, java or mvn are missing, everything here is skipped,
// saying so. Nothing leaves the namespaces, which have no way out.
package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Made once by TestMain, read only afterwards.
var (
	slots     *kit.Slots
	leftovers error // what of earlier runs could not be removed
)

// Weights of Java programs, in units of about 200 MB: at most five brokers at once, or as much of the others.
const (
	weightBroker = 2
	weightSmall  = 1 // NameServer, client
	weightLimit  = 10
)

// TestMain removes what earlier runs that died left behind.
func TestMain(m *testing.M) {
	slots = kit.NewSlots(weightLimit)
	if mode() != "" && unmet() == nil {
		leftovers = removeLeftovers()
	}
	m.Run()
	figures.print(os.Stdout)
}

func mode() string { return os.Getenv("EPITAPH_NETNS") }

func long() bool { return mode() == "long" }

// lookEvery is how often a watch asks; each asking costs.
func lookEvery() time.Duration {
	if long() {
		return time.Millisecond
	}
	return 5 * time.Millisecond
}

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

// need skips t unless it was asked for and can be run here, and lets it run beside others; weight is that of all the Java
// programs it will ever have at once.
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
	if leftovers != nil {
		t.Fatal(leftovers)
	}
	slots.Take(t, weight)
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
