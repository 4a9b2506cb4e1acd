package divergence

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
)

// watchEvery is how often changes are looked for, for the log.
const watchEvery = 500 * time.Millisecond

// Watch writes one line for each change until ctx ends. up says how long this node has been there.
func Watch(ctx context.Context, g *gossip.Gossip, up func() time.Duration, log *slog.Logger) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	w := watch{gossip: g, up: up, log: log}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if v, on := g.Digests(); on {
				w.look(&v)
			}
		}
	}
}

// watch remembers what was told, so that each change is told once.
type watch struct {
	gossip *gossip.Gossip
	up     func() time.Duration
	log    *slog.Logger
	told   map[string]string // why, by what differs
}

func (w *watch) look(v *digest.View) {
	now := map[string]string{}
	var clues *Clues
	for _, d := range Gather(w.gossip.Self().Name, v) {
		if !d.Settled {
			continue
		}
		if clues == nil {
			clues = CluesOf(w.gossip, v, w.up())
		}
		kind, words := d.Reason(clues)
		if w.news(now, fmt.Sprintf("%s/%s id %d at %s", d.Key.Cluster, d.Key.Name, d.Key.ID, d.Key.Addr), kind) {
			w.log.Warn("nodes differ about a broker", "cluster", d.Key.Cluster, "broker", d.Key.Name, "id", d.Key.ID,
				"addr", d.Key.Addr, "held_by", strings.Join(firstOf(d.nodes(func(h *Holding) bool { return h.Has }), 5), ","),
				"reason", words)
		}
	}
	for _, d := range Drifts(v) {
		if w.news(now, d.What+" of "+d.Node, d.What) {
			w.log.Warn("nodes differ in their "+d.What, "node", d.Node)
		}
	}
	var over []string
	for name := range w.told {
		if _, still := now[name]; !still {
			over = append(over, name)
		}
	}
	slices.Sort(over)
	for _, name := range over {
		w.log.Info("nodes differ no more", "about", name)
	}
	w.told = now
}

// news notes what differs now, and says whether that is new.
func (w *watch) news(now map[string]string, what, why string) bool {
	now[what] = why
	before, known := w.told[what]
	return !known || before != why
}
