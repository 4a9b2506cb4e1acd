// Package tombstone decides, without sockets, goroutines or a clock of its own, whether this node may evict a registration
// because another node says that the broker has left. docs/spec/tombstones.md is what it follows.
//
// A node that handles an UNREGISTER on the owning connection makes a tombstone (Departure) and tells the other
// members of it (Hint). A member that still holds the registration asks the origin for proof (Pull, Proof) and
// evicts if and only if both comparisons of Decide hold; then it says what it did (Done). The Exchange is the
// state machine of both sides: every method takes the time, every effect comes back as data.
//
// Invariants:
//  1. Nothing but Exchange.Departed makes a tombstone, and only Receive of a Proof that was asked for reaches Tables.Judge.
//  2. A lower bound is always "asked at t0, so it happened at least its age before t0": no pushed age counts.
//  3. Every try of a pull has its own nonce and its own t0; an answer counts once.
//  4. Only the origin answers pulls, so nothing is merged and nothing outlives its origin or TTL.
//  5. Every queue, map and message has a limit in limits.go; Exchange.Check verifies them.
package tombstone
