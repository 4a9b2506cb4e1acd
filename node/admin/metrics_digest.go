package admin

import (
	"time"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/node/divergence"
)

// digestReading is what one scrape shows of what nodes disagree about; all zero when the node gossips with nobody.
type digestReading struct {
	counts           digest.Counters
	bytes            uint64
	divergent        int
	longest          time.Duration
	kv, options      int
	uncompared       int
	missing, readyMS uint64
}

func readDigests(view View) (r digestReading) {
	missing, took := view.Missing()
	r.missing, r.readyMS = uint64(missing), uint64(took.Milliseconds())
	d := view.Departures()
	if d == nil {
		return r
	}
	g := d.Gossip()
	r.counts, r.bytes = g.DigestCounts()
	v, _ := g.Digests()
	found, _ := divergence.Find(g.Self().Name, &v, clues(view, &v))
	for i := range found {
		r.longest = max(r.longest, found[i].Lasts)
	}
	r.divergent = len(found)
	for _, d := range divergence.Drifts(&v) {
		if d.What == divergence.KV {
			r.kv++
		} else {
			r.options++
		}
	}
	for i := range v.Peers {
		if !compared(&v.Peers[i]) {
			r.uncompared++
		}
	}
	return r
}

func digestSeries() []series {
	type counters = digest.Counters
	count := func(f func(*counters) uint64) func(*reading) uint64 {
		return func(r *reading) uint64 { return f(&r.digest.counts) }
	}
	const (
		sent, sentHelp       = "digest_messages_sent_total", "Messages that compare nodes, by type."
		got, gotHelp         = "digest_messages_received_total", "Messages of members that compare nodes, by type."
		refused, refusedHelp = "digest_refused_total", "Messages that compare nodes and were not believed, by reason."
		drift, driftHelp     = "divergent_members", "Members whose KV store or configuration is not this node's, by what differs."
	)
	return []series{
		gauge("divergent_brokers", "Broker addresses about which living members disagree, as epitaph diff lists them.",
			func(r *reading) uint64 { return uint64(r.digest.divergent) }),
		gauge("divergence_seconds", "For how long the eldest divergence about a broker has lasted.",
			func(r *reading) uint64 { return uint64(r.digest.longest.Seconds()) }),
		gauge(drift, driftHelp, func(r *reading) uint64 { return uint64(r.digest.kv) }).with("what", "kv"),
		gauge(drift, driftHelp, func(r *reading) uint64 { return uint64(r.digest.options) }).with("what", "configuration"),
		gauge("members_not_compared", "Living members that say nothing of what they hold, have not been compared yet, or hold more than is compared.",
			func(r *reading) uint64 { return uint64(r.digest.uncompared) }),
		gauge("ready_missing_brokers", "Brokers that other nodes hold and this one waits for before it is ready.",
			func(r *reading) uint64 { return r.digest.missing }),
		gauge("ready_after_seconds", "How long after its start the node knew enough to be ready; 0 while it waits.",
			func(r *reading) uint64 { return r.digest.readyMS }).inThousandths(),
		gauge("registration_period_seconds", "The time between two registrations of a broker that the node reckons with (--ready-after).",
			func(r *reading) uint64 { return uint64(r.period.Milliseconds()) }).inThousandths(),
		gauge("registration_longest_gap_seconds", "The longest time seen between two REGISTERs of one broker that was registered meanwhile.",
			func(r *reading) uint64 { return uint64(r.table.LongestGap.Milliseconds()) }).inThousandths(),
		gauge("digest_skipped_brokers", "Own broker addresses that are too many to be compared.",
			count(func(c *counters) uint64 { return c.Skipped })),
		counter(sent, sentHelp, count(func(c *counters) uint64 { return c.SummariesSent })).with("type", "summary"),
		counter(sent, sentHelp, count(func(c *counters) uint64 { return c.ComparesSent })).with("type", "compare"),
		counter(sent, sentHelp, count(func(c *counters) uint64 { return c.ItemsSent })).with("type", "items"),
		counter("digest_streams_total", "Messages of these that were sent by TCP.",
			count(func(c *counters) uint64 { return c.StreamsSent })),
		counter("digest_sent_bytes_total", "Bytes of messages that compare nodes, before encryption.",
			func(r *reading) uint64 { return r.digest.bytes }),
		counter(got, gotHelp, count(func(c *counters) uint64 { return c.SummariesReceived })).with("type", "summary"),
		counter(got, gotHelp, count(func(c *counters) uint64 { return c.ComparesReceived })).with("type", "compare"),
		counter(got, gotHelp, count(func(c *counters) uint64 { return c.ItemsReceived })).with("type", "items"),
		counter(refused, refusedHelp, count(func(c *counters) uint64 { return c.RefusedMalformed })).with("reason", "malformed"),
		counter(refused, refusedHelp, count(func(c *counters) uint64 { return c.RefusedSender })).with("reason", "sender"),
		counter(refused, refusedHelp, count(func(c *counters) uint64 { return c.RefusedNonce })).with("reason", "nonce"),
		counter(refused, refusedHelp, count(func(c *counters) uint64 { return c.RefusedSecret })).with("reason", "key"),
		counter("digest_unanswered_total", "Comparisons given up after the last try; a later summary begins anew.",
			count(func(c *counters) uint64 { return c.Unanswered })),
		counter("digest_limited_total", "Questions not asked, or not answered, because of a limit.",
			count(func(c *counters) uint64 { return c.Limited })),
	}
}
