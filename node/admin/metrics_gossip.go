package admin

import (
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// The series that are told as it happens.
var (
	evictionAge     = []string{metricPrefix, "tombstone_eviction_age_seconds"}
	evictionSilence = []string{metricPrefix, "dead_host_eviction_silence_seconds"}
)

// leavingNames are what an UNREGISTER can mean for tombstones, for programs.
var leavingNames = [...]string{
	routes.LeavingProven:    "tombstone",
	routes.LeavingUnknown:   "unknown",
	routes.LeavingOtherName: "other_name",
	routes.LeavingOtherID:   "other_id",
	routes.LeavingOlderConn: "older_connection",
	routes.LeavingOtherConn: "other_connection",
	routes.LeavingNoProof:   "no_proof",
}

// gossipReading is what one scrape shows of gossip; all zero when the node gossips with nobody.
type gossipReading struct {
	on                             bool
	exchange                       tombstone.Counters
	shell                          gossip.Counts
	left                           func(routes.Leaving) uint64
	live                           int
	holds                          [tombstone.HoldNode + 1]uint64
	members, onlyTCP, hints, pulls int
	lost                           int
}

func readGossip(view View) (r gossipReading) {
	d := view.Departures()
	if d == nil {
		return r
	}
	g := d.Gossip()
	s := g.Status(0)
	r = gossipReading{
		on: true, exchange: g.Counters(), shell: g.Counts(), left: d.Count,
		live: s.Live, members: len(g.Members()),
	}
	for _, h := range s.Holds {
		r.holds[h.Kind]++
	}
	onlyTCP := map[tombstone.Peer]bool{}
	for _, m := range g.AllMembers() {
		if m.State == gossip.StateFailed {
			r.lost++
		}
		if m.State == gossip.StateAlive && m.OnlyTCP {
			onlyTCP[m.Peer] = true
		}
	}
	for _, m := range s.Members {
		r.hints += m.Hints
		r.pulls += m.Pulls
		if m.Up && m.ByStream {
			onlyTCP[m.Peer] = true
		}
	}
	r.onlyTCP = len(onlyTCP)
	return r
}

// gossipSeries are those of membership and tombstones.
func gossipSeries() []series {
	all := []series{
		gauge("gossip_members", "Living members, this node included; 0 when it gossips with nobody.",
			func(r *reading) uint64 { return uint64(r.gossip.members) }),
		gauge("gossip_members_only_tcp", "Members whose last answer, to a departure or a probe, came only after a try by TCP: UDP may be blocked.",
			func(r *reading) uint64 { return uint64(r.gossip.onlyTCP) }),
		gauge("gossip_members_lost", "Members that failed without leaving, until they are back or forgotten, for a day at most.",
			func(r *reading) uint64 { return uint64(r.gossip.lost) }),
		gauge("gossip_alone", "1 while no other member lives, as for --join-wait before, at a node that has --join.",
			func(r *reading) uint64 { return flag(r.alone) }),
		gauge("gossip_namesake", "1 while another living node has this node's name.",
			func(r *reading) uint64 { return flag(r.gossip.shell.Namesake) }),
		gauge("gossip_waiting", "Departures waiting: told but not answered.",
			func(r *reading) uint64 { return uint64(r.gossip.hints) }).with("queue", "hints"),
		gauge("gossip_waiting", "Departures waiting: told but not answered.",
			func(r *reading) uint64 { return uint64(r.gossip.pulls) }).with("queue", "pulls"),
		gauge("tombstones", "Own tombstones that live.", func(r *reading) uint64 { return uint64(r.gossip.live) }),
		gauge("tombstone_evictions_on_hold", "1 while this node does not evict by tombstone what has been refuted: a broker, a source, or anything.",
			func(r *reading) uint64 { return flag(r.gossip.holds != [len(r.gossip.holds)]uint64{}) }),
	}
	for kind := range tombstone.HoldNode + 1 {
		all = append(all, gauge("tombstone_holds", "Holds on evictions by tombstone, by what is on hold.",
			func(r *reading) uint64 { return r.gossip.holds[kind] }).with("scope", kind.Name()))
	}
	for meaning, name := range leavingNames {
		all = append(all, counter("departures_total", "UNREGISTERs of a gossiping node, by what they mean for tombstones.",
			func(r *reading) uint64 {
				if r.gossip.left == nil {
					return 0
				}
				return r.gossip.left(routes.Leaving(meaning))
			}).with("meaning", name))
	}
	return append(append(all, exchangeSeries()...), shellSeries()...)
}

func exchangeSeries() []series {
	type counters = tombstone.Counters
	count := func(f func(*counters) uint64) func(*reading) uint64 {
		return func(r *reading) uint64 { return f(&r.gossip.exchange) }
	}
	const (
		sent, sentHelp         = "tombstone_messages_sent_total", "Messages sent to members, by type; proof answers pull, done ends it."
		got, gotHelp           = "tombstone_messages_received_total", "Messages of members, by type."
		silent, silentHelp     = "tombstone_unanswered_total", "Departures given up after the last try, by what was sent."
		refused, refusedHelp   = "gossip_refused_total", "Messages that were not believed, by reason."
		dropped, droppedHelp   = "tombstone_dropped_total", "Tombstones and questions dropped by a limit."
		lateness, latenessHelp = "tombstone_late_proofs_total", "Tombstones whose proof of life was raised by the answer to the UNREGISTER."
	)
	all := []series{
		counter(sent, sentHelp, count(func(c *counters) uint64 { return c.HintsSent })).with("type", "hint"),
		counter(sent, sentHelp, count(func(c *counters) uint64 { return c.PullsSent })).with("type", "pull"),
		counter(sent, sentHelp, count(func(c *counters) uint64 { return c.ProofsSent })).with("type", "proof"),
		counter(sent, sentHelp, count(func(c *counters) uint64 { return c.DonesSent })).with("type", "done"),
		counter("tombstone_streams_total", "Messages of these that were sent by TCP.",
			count(func(c *counters) uint64 { return c.StreamsSent })),
		counter(got, gotHelp, count(func(c *counters) uint64 { return c.HintsReceived })).with("type", "hint"),
		counter(got, gotHelp, count(func(c *counters) uint64 { return c.PullsReceived })).with("type", "pull"),
		counter(got, gotHelp, count(func(c *counters) uint64 { return c.ProofsReceived })).with("type", "proof"),
		counter(got, gotHelp, count(func(c *counters) uint64 { return c.DonesReceived })).with("type", "done"),
		counter(got, gotHelp, count(func(c *counters) uint64 { return c.MergesReceived })).with("type", "state"),
		counter("tombstones_made_total", "Departures told to the others.",
			count(func(c *counters) uint64 { return c.Made[tombstone.Made] })),
		counter(lateness, latenessHelp, count(func(c *counters) uint64 { return c.LateProofs })),
		counter("tombstones_expired_total", "Own tombstones that reached the end of their life.",
			count(func(c *counters) uint64 { return c.Expired })),
		counter(dropped, droppedHelp, count(func(c *counters) uint64 { return c.Capped })).with("what", "tombstone"),
		counter(dropped, droppedHelp, count(func(c *counters) uint64 { return c.WantedDropped })).with("what", "question"),
		counter(dropped, droppedHelp, count(func(c *counters) uint64 { return c.MembersRefused })).with("what", "member"),
		counter("tombstone_lost_time_total", "Proofs of members that lost time (were frozen): nothing was evicted by them.",
			count(func(c *counters) uint64 { return c.LostTime })),
		counter("tombstone_refuted_total", "Evictions that turned out to be wrong.",
			count(func(c *counters) uint64 { return c.Refuted })),
		counter(silent, silentHelp, count(func(c *counters) uint64 { return c.HintsUnanswered })).with("type", "hint"),
		counter(silent, silentHelp, count(func(c *counters) uint64 { return c.PullsUnanswered })).with("type", "pull"),
		counter("tombstone_unknown_origin_total", "Hints whose origin is no living member.",
			count(func(c *counters) uint64 { return c.HintsUnknownOrigin })),
		counter(refused, refusedHelp, count(func(c *counters) uint64 { return c.RefusedMalformed })).with("reason", "malformed"),
		counter(refused, refusedHelp, count(func(c *counters) uint64 { return c.RefusedSender })).with("reason", "sender"),
		counter(refused, refusedHelp, count(func(c *counters) uint64 { return c.RefusedOrigin })).with("reason", "origin"),
		counter(refused, refusedHelp, count(func(c *counters) uint64 { return c.RefusedNonce })).with("reason", "nonce"),
	}
	for why := tombstone.Made + 1; why <= tombstone.NodeLimit; why++ {
		all = append(all, counter("tombstones_not_made_total", "Departures that were not told, by reason.",
			count(func(c *counters) uint64 { return c.Made[why] })).
			with("reason", why.Name()))
	}
	for outcome := tombstone.NotHeld; outcome <= tombstone.KeptOtherClaim; outcome++ {
		if outcome == tombstone.SawItself { // that is what others report
			continue
		}
		all = append(all, counter("tombstone_decisions_total", "What was done here with tombstones of other nodes.",
			count(func(c *counters) uint64 { return c.Decided[outcome] })).with("outcome", outcome.Name()))
	}
	return all
}

func shellSeries() []series {
	count := func(f func(*gossip.Counts) uint64) func(*reading) uint64 {
		return func(r *reading) uint64 { return f(&r.gossip.shell) }
	}
	const (
		refused, refusedHelp = "gossip_refused_total", "Messages that were not believed, by reason."
		lost, lostHelp       = "gossip_lost_total", "Messages lost on the way out or in; what matters is repeated."
		closed, closedHelp   = "gossip_streams_closed_total", "Streams of others that were closed before their message was read, by reason."
	)
	return []series{
		counter(refused, refusedHelp, count(func(c *gossip.Counts) uint64 { return c.RefusedKey })).with("reason", "key"),
		counter(refused, refusedHelp, count(func(c *gossip.Counts) uint64 { return c.RefusedLabel })).with("reason", "label"),
		counter(refused, refusedHelp, count(func(c *gossip.Counts) uint64 { return c.RefusedSize })).with("reason", "size"),
		counter(refused, refusedHelp, count(func(c *gossip.Counts) uint64 { return c.RefusedVersion })).with("reason", "version"),
		counter(refused, refusedHelp, count(func(c *gossip.Counts) uint64 { return c.RefusedType })).with("reason", "type"),
		counter(refused, refusedHelp, count(func(c *gossip.Counts) uint64 { return c.RefusedFormat })).with("reason", "format"),
		counter(lost, lostHelp, count(func(c *gossip.Counts) uint64 { return c.InboxFull })).with("why", "inbox_full"),
		counter(lost, lostHelp, count(func(c *gossip.Counts) uint64 { return c.Unsendable })).with("why", "unsendable"),
		counter(lost, lostHelp, count(func(c *gossip.Counts) uint64 { return c.SendFailed })).with("why", "send_failed"),
		counter(lost, lostHelp, count(func(c *gossip.Counts) uint64 { return c.StreamsDropped })).with("why", "streams_busy"),
		counter(closed, closedHelp, count(func(c *gossip.Counts) uint64 { return c.ClosedSilent })).with("reason", "silent"),
		counter(closed, closedHelp, count(func(c *gossip.Counts) uint64 { return c.ClosedNoRoom })).with("reason", "no_room"),
		counter(closed, closedHelp, count(func(c *gossip.Counts) uint64 { return c.ClosedTooMuch })).with("reason", "too_much"),
		counter("gossip_sent_total", "Messages handed to memberlist: of tombstones, not of digests nor memberlist's own.",
			count(func(c *gossip.Counts) uint64 { return c.Sent })),
		counter("gossip_sent_bytes_total", "Bytes of the messages of epitaph_gossip_sent_total, without memberlist's envelope.",
			count(func(c *gossip.Counts) uint64 { return c.SentBytes })),
		counter("gossip_members_lost_total", "Times that a member stopped answering without saying that it leaves.",
			count(func(c *gossip.Counts) uint64 { return c.MembersLost })),
		counter("gossip_joins_total", "Tries to join a seed that is no living member.",
			count(func(c *gossip.Counts) uint64 { return c.Rejoins })),
		counter("gossip_joins_failed_total", "Seeds that did not answer or could not be looked up.",
			count(func(c *gossip.Counts) uint64 { return c.RejoinsFailed })),
		counter("gossip_keys_refused_total", "Key files that could not be used when read again.",
			count(func(c *gossip.Counts) uint64 { return c.KeysRefused })),
	}
}

// Decided tells the age of a departure that evicted a registration.
func (h *Server) Decided(d *tombstone.Decision) {
	if m, err := h.metrics(); err == nil && d.Verdict.Outcome == tombstone.Evicted {
		m.sink.AddSample(evictionAge, float32(d.Verdict.Age.Seconds()))
	}
}
