package departures

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// The effects of a decision are carried out with it, and every line has the fields that it had.
func TestDecisionsAreCarriedOutAndTold(t *testing.T) {
	var log bytes.Buffer
	var applied []routes.Effects
	var also []tombstone.Decision
	d := &Shell{
		apply: func(e routes.Effects) { applied = append(applied, e) },
		also:  func(dec tombstone.Decision) { also = append(also, dec) },
		log:   slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	evicted := tombstone.Decision{
		ID:      tombstone.ID{Key: tombstone.Key{Cluster: "C", Addr: "1.1.1.1:1"}, Identity: tombstone.Identity{Name: "b"}},
		Verdict: tombstone.Verdict{Outcome: tombstone.Evicted, Age: time.Second},
		Effects: routes.Effects{Close: []routes.Closing{{Conn: 7}}},
	}
	d.decided(evicted)
	d.decided(tombstone.Decision{Verdict: tombstone.Verdict{Outcome: tombstone.NotHeld}})
	if len(applied) != 1 || len(applied[0].Close) != 1 || len(also) != 2 {
		t.Errorf("carried out %v, told %v", applied, also)
	}
	d.refuted(tombstone.RefutedEviction{Decision: evicted, Back: time.Second, Holds: []tombstone.Hold{{Kind: tombstone.HoldKey}, {Kind: tombstone.HoldSource}, {Kind: tombstone.HoldNode}}})
	d.notMade(tombstone.Departure{}, tombstone.TooLong)
	d.notMade(tombstone.Departure{}, tombstone.TooLong) // once is enough
	d.unmade.First = 1
	d.notMade(tombstone.Departure{}, tombstone.NodeLimit)
	if lines := bytes.Count(log.Bytes(), []byte("\n")); lines != 8 {
		t.Errorf("%d lines:\n%s", lines, log.String())
	}
	kit.Listed(t, "testdata/log_fields.txt", kit.LogFields(t, log.String()))
}
