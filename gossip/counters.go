package gossip

import "sync/atomic"

// counters are the counts of the shell; the exchange has its own.
type counters struct {
	refusedKey, refusedLabel                                atomic.Uint64
	refusedSize, refusedVersion, refusedType, refusedFormat atomic.Uint64
	inboxFull, unsendable, sendFailed, streamsDropped       atomic.Uint64
	closedSilent, closedNoRoom, closedTooMuch               atomic.Uint64
	sent, sentBytes, membersLost                            atomic.Uint64
	rejoins, rejoinsFailed, keysRefused                     atomic.Uint64
	namesake                                                atomic.Bool
}
