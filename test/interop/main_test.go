// Package interop proves against released Apache RocketMQ software that epitaph serves in the place of the Java
// name server: brokers, clients, the proxy, the controller and the tools are real processes.
//
//	EPITAPH_INTEROP=1     what CI runs
//	EPITAPH_INTEROP=long  the same with more releases, more ways to configure brokers, and more messages (make night-interop)
//	EPITAPH_INTEROP_TARGET=java    the Java name server 5.5.0 takes epitaph's place: proves the tests
//	EPITAPH_INTEROP_JVMS=n         at most n Java programs at once (default 6; a broker needs 450 MB)
//
// Without EPITAPH_INTEROP, with -short, and where java or mvn are missing, everything here is skipped, saying so.
package interop

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

var slots *kit.Slots

// defaultJVMs fits a machine of 2 cores and 8 GB.
const defaultJVMs = 6

func TestMain(m *testing.M) {
	limit := int64(defaultJVMs)
	if n, err := strconv.ParseInt(os.Getenv("EPITAPH_INTEROP_JVMS"), 10, 64); err == nil && n > 0 {
		limit = n
	}
	slots = kit.NewSlots(limit)
	m.Run()
}

func mode() string { return os.Getenv("EPITAPH_INTEROP") }

func long() bool { return mode() == "long" }

// need skips t unless interop tests were asked for, takes n of the JVM slots and lets t run beside others.
func need(t *testing.T, n int64) {
	t.Helper()
	if mode() == "" || testing.Short() {
		t.Skip("SKIPPED: set EPITAPH_INTEROP=1 to prove this with released Java software")
	}
	java.Require(t)
	slots.Take(t, n)
}

// needLong skips t in the short form, which has another test of its kind.
func needLong(t *testing.T) {
	t.Helper()
	if !long() {
		t.Skip("SKIPPED: set EPITAPH_INTEROP=long, as make night-interop does")
	}
}

// soon is what happens at once, on a machine that may be busy: far from the 30 s after which a broker registers again, and
// the 120 s after which a silent one is forgotten. How long it really took is logged.
const soon = 20 * time.Second
