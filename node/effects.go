package node

import (
	"context"
	"log/slog"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// apply carries out what a change of the tables demands. No lock is held.
func (n *Node) apply(eff routes.Effects) {
	for i := range eff.Notify {
		n.notify.send(&eff.Notify[i])
	}
	for _, c := range eff.Close {
		n.server.CloseConn(c.Conn, c.Silent, "broker expired")
	}
	for i := range eff.Events {
		e := &eff.Events[i]
		n.counts.Event(e)
		n.logEvent(e)
		if n.onEvent != nil {
			n.onEvent(e)
		}
	}
}

// applyBy is apply of what somebody asked for: the log says who, where it is not the connection that the event is about.
func (n *Node) applyBy(c *rpc.Conn, eff routes.Effects) {
	for i := range eff.Events {
		switch e := &eff.Events[i]; {
		case !e.Remote.IsValid():
			e.Remote, e.Source = c.RemoteAddr(), c.Source()
		case e.Conn != c.ID():
			e.By, e.BySource = c.RemoteAddr(), c.Source()
		}
	}
	n.apply(eff)
}

// logEvent writes one line for one change of state. Conflicts come again with every registration, so each is told
// once in a while only.
func (n *Node) logEvent(e *routes.Event) {
	level := slog.LevelInfo
	switch {
	case e.Kind.Conflict():
		level = slog.LevelWarn
	case e.Kind == routes.RegisterRefused || e.Kind == routes.RegisterDropped || e.Kind == routes.RegisterCut ||
		e.Kind == routes.UnregisterIgnored:
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !n.log.Enabled(ctx, level) {
		return
	}
	var more int
	if level == slog.LevelWarn {
		var due bool
		key, every := repeatKey{e.Kind, e.Cluster, e.Name, e.Addr}, repeatEvery
		if e.Kind == routes.ConflictSources { // whatever name each gives the address
			key.name, every = "", sourcesEvery
		}
		if more, due = n.faults.due(key, clock.Now(), every); !due {
			return
		}
	}
	attrs := make([]slog.Attr, 0, 12)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	number := func(key string, value int) {
		if value != 0 {
			attrs = append(attrs, slog.Int(key, value))
		}
	}
	text("cluster", e.Cluster)
	text("broker", e.Name)
	if e.Name != "" && e.Addr != "" {
		attrs = append(attrs, slog.Int64("id", e.ID))
	}
	if e.Kind == routes.BrokerMoved {
		attrs = append(attrs, slog.Int64("old_id", e.OldID))
	}
	text("addr", e.Addr)
	text("topic", e.Topic)
	text("old", e.Old)
	number("added", e.Added)
	number("changed", e.Changed)
	number("removed", e.Erased)
	number("left_out", e.LeftOut)
	if e.Conn != 0 {
		attrs = append(attrs, slog.Uint64("conn", e.Conn))
	}
	if e.Remote.IsValid() {
		attrs = append(attrs, slog.String("remote", e.Remote.String()))
	}
	if e.Source.Apart { // remote is what its PROXY header says
		attrs = append(attrs, slog.String("source", e.Source.Addr.String()))
	}
	if e.By.IsValid() {
		attrs = append(attrs, slog.String("by", e.By.String()))
	}
	if e.BySource.Apart {
		attrs = append(attrs, slog.String("by_source", e.BySource.Addr.String()))
	}
	number("repeated", more)
	n.log.LogAttrs(ctx, level, e.Kind.String(), attrs...)
}
