package admin

import (
	"time"

	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/vanish"
)

// vanishedReading is what one scrape shows of hosts that fall silent; all zero when the node gossips with nobody.
type vanishedReading struct {
	vanished.Status
	silent    int
	notJudged map[string]int
}

func readVanished(view View) (r vanishedReading) {
	s := view.Vanished()
	if s == nil {
		return r
	}
	r.Status = s.Status()
	r.notJudged = notJudged(&r.Status)
	for i := range r.Hosts {
		if r.Hosts[i].Silent {
			r.silent++
		}
	}
	return r
}

// Evicted tells the silence of a host whose broker was taken out.
func (h *Server) Evicted(silence time.Duration) {
	if m, err := h.metrics(); err == nil {
		m.sink.AddSample(evictionSilence, float32(silence.Seconds()))
	}
}

// vanishedSeries are those about hosts that fall silent.
func vanishedSeries() []series {
	count := func(f func(*vanishedReading) uint64) func(*reading) uint64 {
		return func(r *reading) uint64 { return f(&r.vanished) }
	}
	all := []series{
		gauge("dead_host_watched", "Connections of brokers whose kernels are asked for a sign of life (--dead-hosts).",
			count(func(r *vanishedReading) uint64 { return uint64(r.Lines) })),
		gauge("dead_host_silent_hosts", "Hosts that have been silent for so long that the other nodes are asked about them.",
			count(func(r *vanishedReading) uint64 { return uint64(r.silent) })),
		gauge("dead_host_braked", "1 while too many hosts are silent here for any to be judged.",
			count(func(r *vanishedReading) uint64 { return flag(r.Braked && r.Mode != vanish.Off) })),
		gauge("dead_host_on_hold", "1 while this node takes no host for vanished, for three were heard again within ten minutes.",
			count(func(r *vanishedReading) uint64 { return flag(!r.HeldUntil.IsZero()) })),
		gauge("dead_host_quorum", "Nodes that must agree that a host has vanished, this one counted; 0: it judges nobody.",
			count(func(r *vanishedReading) uint64 {
				if r.Mode == vanish.Off {
					return 0
				}
				return uint64(r.Quorum)
			})),
		counter("dead_host_evictions_total", "Brokers that were taken out, for their hosts were taken for vanished (--dead-hosts=on).",
			count(func(r *vanishedReading) uint64 { return r.Counts.Evicted })),
		counter("dead_host_restored_total", "Brokers that were put back as they were, for their hosts were heard again (--dead-host-restore).",
			count(func(r *vanishedReading) uint64 { return r.Counts.Restored })),
		counter("dead_host_would_evict_total", "Brokers that would have been taken out, for their hosts were taken for vanished.",
			count(func(r *vanishedReading) uint64 { return r.Counts.WouldEvict })),
		counter("dead_host_gaps_total", "Times that this node was not running for half a second or was suspended: silences counted anew.",
			count(func(r *vanishedReading) uint64 { return r.Gaps })),
		counter("dead_host_resets_total", "Watched connections whose peer answered a probe by a reset: its kernel did not know them.",
			func(r *reading) uint64 { return uint64(r.server.ProbeResets) }),
		counter("dead_host_limited_total", "Questions about silent hosts that were not sent or not answered, for there were too many.",
			count(func(r *vanishedReading) uint64 { return r.Limited })),
		counter("dead_host_refused_total", "Answers about silent hosts that nobody had asked for, or that came too late.",
			count(func(r *vanishedReading) uint64 { return r.RefusedNonce })),
		counter("dead_host_dropped_total", "Messages about silent hosts that were not read, for too many waited.",
			count(func(r *vanishedReading) uint64 { return r.Counts.Dropped })),
	}
	for _, reason := range vanished.NotJudged() {
		all = append(all, gauge("dead_host_not_watched", "Registrations whose hosts may not be judged however silent they are, by reason.",
			count(func(r *vanishedReading) uint64 { return uint64(r.notJudged[reason]) })).with("reason", reason))
	}
	for _, why := range vanish.Keeps() {
		all = append(all, counter("dead_host_kept_total", "Brokers whose hosts were silent for long enough and were kept, once a silence for each reason.",
			count(func(r *vanishedReading) uint64 { return r.Counts.Kept[why] })).with("why", why.Name()))
	}
	for _, by := range vanished.Refutations {
		all = append(all, counter("dead_host_refuted_total", "Hosts that were taken for vanished and heard again, by what was heard.",
			count(func(r *vanishedReading) uint64 { return r.Counts.Refuted[by] })).with("by", by))
	}
	for _, o := range vanished.Outcomes {
		all = append(all, counter("dead_host_connects_total", "New connections that were tried to brokers, by what came of them.",
			count(func(r *vanishedReading) uint64 { return r.Counts.Tried[o] })).with("result", o.String()))
	}
	for _, kind := range vanished.Messages {
		all = append(all,
			counter("dead_host_messages_sent_total", "Messages about silent hosts sent to members, by type; view answers query.",
				count(func(r *vanishedReading) uint64 { return r.Counts.Sent[kind] })).with("type", kind),
			counter("dead_host_messages_received_total", "Messages about silent hosts of members, by type.",
				count(func(r *vanishedReading) uint64 { return r.Counts.Got[kind] })).with("type", kind))
	}
	return all
}
