package gossip

import (
	"bytes"
	"log"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What a stranger writes into a label is only a label: it moves no count but that of labels, and closes nobody's stream.
func TestLabelsAreNoLogLines(t *testing.T) {
	var c counters
	list := log.New(newLogWriter(slog.New(slog.DiscardHandler), &c, heard{
		refuting: func() { t.Error("refuted by a label") },
		unread:   func(from string) { t.Errorf("the stream from %s is closed by a label", from) },
		onlyTCP:  func(member string) { t.Errorf("%s is reached by TCP only, says a label", member) },
	}), "", 0)
	labels := []string{
		"Was able to connect to n2~8000000000000000 over TCP but UDP probes failed",
		"use of closed network connection", "Refuting a dead", "memberlist: failed to receive: EOF from=192.0.2.1:7946",
		"failed to receive: from=192.0.2.1:7946", "Decrypt packet failed", "handler queue full",
	}
	for _, label := range labels {
		list.Printf("[ERR] memberlist: discarding packet with unacceptable label %q: from=192.0.2.2:7946", label)
		list.Printf("[ERR] memberlist: discarding stream with unacceptable label %q: from=192.0.2.2:7946", label)
	}
	if got := c.refusedLabel.Load(); got != uint64(2*len(labels)) || c.refused() != got || c.inboxFull.Load() > 0 {
		t.Errorf("%d counted as labels, %d in all, want %d", got, c.refused(), 2*len(labels))
	}
}

// A probe of a former life of a member that starts again at its address fails: that is no error, and counts as nothing refused.
func TestProbesThatFailAreNoErrors(t *testing.T) {
	var c counters
	var out bytes.Buffer
	list := log.New(newLogWriter(slog.New(slog.NewTextHandler(&out, nil)), &c, heard{}), "", 0)
	list.Print("[ERR] memberlist: Failed fallback TCP ping: EOF")
	if out.Len() > 0 || c.refused() > 0 {
		t.Errorf("%d refused, %s", c.refused(), out.String())
	}
	list.Print("[ERR] memberlist: something else")
	if !bytes.Contains(out.Bytes(), []byte("level=ERROR")) {
		t.Errorf("%s", out.String())
	}
}

// Whoever has the key can have memberlist say something for each packet; the log takes some, and says how many it did not.
func TestLinesOfMemberlistAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines kit.Log
		list := log.New(newLogWriter(textLog(&lines), new(counters), heard{}), "", 0)
		const many = 1000
		for range many {
			list.Printf("[ERR] memberlist: Conflicting address for n2")
		}
		if n := strings.Count(lines.String(), "\n"); n != restAtOnce {
			t.Errorf("%d of %d lines at once, want %d", n, many, restAtOnce)
		}
		<-time.After(time.Second)
		list.Printf("[ERR] memberlist: Conflicting address for n2")
		list.Printf("[ERR] memberlist: Conflicting address for n2")
		if n := strings.Count(lines.String(), "\n"); n != restAtOnce+1 || !strings.Contains(lines.String(), "(980 lines left out) Conflicting") {
			t.Errorf("%d lines after a second: %s", n, lines.String())
		}
	})
}
