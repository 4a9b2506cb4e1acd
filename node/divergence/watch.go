package divergence

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/vanished"
)

// watchEvery is how often changes are looked for, for the log.
const watchEvery = 500 * time.Millisecond

// Watch writes one line for each change until ctx ends. up says how long this node has been there, hosts what it knows of silent ones.
func Watch(ctx context.Context, g *gossip.Gossip, up func() time.Duration, hosts func() vanished.Status, log *slog.Logger) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	w := watch{gossip: g, up: up, hosts: hosts, log: log}
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
	hosts  func() vanished.Status
	log    *slog.Logger
	told   map[string]line // of what differs; with a kind those that were told
	before map[string]bool // what differed at the last look
}

// line is what the log says of one difference: when it begins, when its reason changes, and with the same fields when it is over.
type line struct {
	begins, ends string
	about        []any  // fields that say what it is about
	kind         string // the reason, as a code
	more         []any  // other fields of the first line
	stale        bool   // it may be over by now
}

// look tells what has changed. A difference is told at the second look that finds it, for the word that it is over may be on
// its way at the first.
func (w *watch) look(v *digest.View) {
	found := map[string]line{}
	all, _ := Find(w.gossip.Self().Name, v, func() *Clues {
		hosts := w.hosts()
		return CluesOf(w.gossip, v, w.up(), &hosts)
	})
	for i := range all {
		d := &all[i]
		name := fmt.Sprintf("%s/%s id %d at %s", d.Key.Cluster, d.Key.Name, d.Key.ID, d.Key.Addr)
		found[name] = line{
			"nodes differ about a broker", "nodes agree about a broker again",
			[]any{"cluster", d.Key.Cluster, "broker", d.Key.Name, "id", d.Key.ID, "addr", d.Key.Addr}, d.Kind,
			[]any{"held_by", strings.Join(firstOf(d.nodes(func(h *Holding) bool { return h.Has }), 5), ","), "reason", d.Kind, "why", d.Why}, d.Stale,
		}
	}
	for _, d := range Drifts(v) {
		found[d.What+" of "+d.Node] = line{
			"nodes differ in their store or options", "nodes agree in their store or options again",
			[]any{"what", d.What, "node", d.Node}, d.What, nil, false,
		}
	}
	w.tell(found)
}

func (w *watch) tell(found map[string]line) {
	told := map[string]line{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		l, was := found[name], w.told[name]
		switch {
		case l.stale && was.kind == "":
			continue
		case l.stale:
			l = was
		case l.kind == was.kind:
		case was.kind == "" && !w.before[name]:
			continue
		default:
			w.log.Warn(l.begins, slices.Concat(l.about, l.more)...)
		}
		told[name] = l
	}
	for _, name := range slices.Sorted(maps.Keys(w.told)) {
		if l := w.told[name]; told[name].kind == "" {
			w.log.Info(l.ends, l.about...)
		}
	}
	w.told, w.before = told, map[string]bool{}
	for name, l := range found {
		w.before[name] = !l.stale || told[name].kind != ""
	}
}
