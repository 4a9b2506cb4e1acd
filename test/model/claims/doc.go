// Package claims checks the rule of claims (docs/spec/tombstones.md#ownership) by looking at every world of a configuration: one to
// three nodes; a broker that starts, stops, crashes, reconnects with its old connections half-open and restarts within a tick,
// from one or two addresses; its frames under way without bound, also past their sender's end; a stranger who connects, registers,
// unregisters and closes anywhere, at once; proofs of tombstones that come at any time, or never; in some, hosts that vanish, or seem to.
//
// Beside the rule run RocketMQ, RocketMQ with DEV-11 and DEV-13 among connections of one source, and the former rule for a broker
// whom no stranger disturbs; the promises P1 to P7 compare them. Each clause of the rule is left out or changed once (Fault),
// and each time a promise must break.
//
// Not in it: names and ids, hidden registrations, remembered owners, the cap of eight, content, the self-check, clocks. Those
// are tested in package routes and tombstone; tombstone.pml has the clocks.
//
//	go test ./test/model/claims                what the gate looks at
//	MODEL=full go test -timeout 60m ./test/model/claims     all of it (make night-claims)
package claims
