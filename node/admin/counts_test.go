package admin

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/epitaph-mq/epitaph/tombstone"
)

// Each count of the exchange and of the shell arrives in the series of its name, and in no other; none is forgotten.
func TestEveryCountHasItsSeries(t *testing.T) {
	want := map[string]string{
		"HintsSent": `tombstone_messages_sent_total{type="hint"}`, "HintsReceived": `tombstone_messages_received_total{type="hint"}`,
		"PullsSent": `tombstone_messages_sent_total{type="pull"}`, "PullsReceived": `tombstone_messages_received_total{type="pull"}`,
		"ProofsSent": `tombstone_messages_sent_total{type="proof"}`, "ProofsReceived": `tombstone_messages_received_total{type="proof"}`,
		"DonesSent": `tombstone_messages_sent_total{type="done"}`, "DonesReceived": `tombstone_messages_received_total{type="done"}`,
		"MergesReceived": `tombstone_messages_received_total{type="state"}`, "StreamsSent": "tombstone_streams_total",
		"LateProofs": "tombstone_late_proofs_total", "Expired": "tombstones_expired_total",
		"Capped": `tombstone_dropped_total{what="tombstone"}`, "WantedDropped": `tombstone_dropped_total{what="question"}`,
		"MembersRefused": `tombstone_dropped_total{what="member"}`, "LostTime": "tombstone_lost_time_total",
		"Refuted": "tombstone_refuted_total", "HintsUnanswered": `tombstone_unanswered_total{type="hint"}`,
		"PullsUnanswered": `tombstone_unanswered_total{type="pull"}`, "HintsUnknownOrigin": "tombstone_unknown_origin_total",
		"RefusedMalformed": `gossip_refused_total{reason="malformed"}`, "RefusedSender": `gossip_refused_total{reason="sender"}`,
		"RefusedOrigin": `gossip_refused_total{reason="origin"}`, "RefusedNonce": `gossip_refused_total{reason="nonce"}`,
		"Made/made": "tombstones_made_total",

		"RefusedKey": `gossip_refused_total{reason="key"}`, "RefusedLabel": `gossip_refused_total{reason="label"}`,
		"RefusedSize": `gossip_refused_total{reason="size"}`, "RefusedVersion": `gossip_refused_total{reason="version"}`,
		"RefusedType": `gossip_refused_total{reason="type"}`, "RefusedFormat": `gossip_refused_total{reason="format"}`,
		"InboxFull": `gossip_lost_total{why="inbox_full"}`, "Unsendable": `gossip_lost_total{why="unsendable"}`,
		"SendFailed": `gossip_lost_total{why="send_failed"}`, "StreamsDropped": `gossip_lost_total{why="streams_busy"}`,
		"ClosedSilent": `gossip_streams_closed_total{reason="silent"}`, "ClosedNoRoom": `gossip_streams_closed_total{reason="no_room"}`,
		"ClosedTooMuch": `gossip_streams_closed_total{reason="too_much"}`,
		"Sent":          "gossip_sent_total", "SentBytes": "gossip_sent_bytes_total", "MembersLost": "gossip_members_lost_total",
		"Rejoins": "gossip_joins_total", "RejoinsFailed": "gossip_joins_failed_total", "KeysRefused": "gossip_keys_refused_total",
	}
	for why, label := range map[tombstone.NotMade]string{
		tombstone.NoStamp: "no_stamp", tombstone.TooLong: "too_long", tombstone.TooOld: "too_old",
		tombstone.SourceLimit: "source_limit", tombstone.NodeLimit: "node_limit",
	} {
		want["Made/"+why.String()] = fmt.Sprintf("tombstones_not_made_total{reason=%q}", label)
	}
	for outcome := tombstone.NotHeld; outcome <= tombstone.KeptOtherClaim; outcome++ {
		want["Decided/"+outcome.String()] = fmt.Sprintf("tombstone_decisions_total{outcome=%q}", outcome.Name())
	}
	delete(want, "Decided/"+tombstone.SawItself.String())

	try := func(name string, count reflect.Value, r *reading) {
		count.SetUint(4711)
		defer count.SetUint(0)
		var shown []string
		for _, s := range gossipSeries() {
			if s.read(r) == 4711 {
				full := s.name
				for _, l := range s.labels {
					full += fmt.Sprintf("{%s=%q}", l.Name, l.Value)
				}
				shown = append(shown, full)
			}
		}
		if len(shown) != 1 || shown[0] != want[name] {
			t.Errorf("%s is shown as %q, want %q", name, shown, want[name])
		}
		delete(want, name)
	}
	var r reading
	for _, counts := range []any{&r.gossip.exchange, &r.gossip.shell} {
		all := reflect.ValueOf(counts).Elem()
		for i := range all.NumField() {
			name, field := all.Type().Field(i).Name, all.Field(i)
			switch field.Kind() {
			case reflect.Uint64:
				try(name, field, &r)
			case reflect.Array:
				for j := range field.Len() {
					kind := fmt.Sprint(tombstone.NotMade(j))
					if name == "Decided" {
						kind = fmt.Sprint(tombstone.Outcome(j))
					}
					if kind != tombstone.SawItself.String() { // what others report, never a decision here
						try(name+"/"+kind, field.Index(j), &r)
					}
				}
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("there is no count for %v", want)
	}
}
