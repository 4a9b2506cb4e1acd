package tombstone

import (
	"time"

	"github.com/epitaph-mq/epitaph/peer"
)

// Limits of the protocol. Each has a test at the limit and one beyond it.
const (
	TTL        = 10 * time.Minute // life of a tombstone from its U: more than heartbeat timeout plus scan of any entry
	maxLive    = 65_536           // tombstones of its own that a node keeps; see makeRoom for which goes first
	MaxMessage = peer.MaxMessage
	maxBatch   = 8  // ids in one Hint or Pull, answers in one Proof
	maxReports = 16 // reports in one Done
	MaxName    = peer.MaxName
	MaxMerge   = 1 << 20 // bytes of ids in one push/pull state
	maxHead    = 176     // bytes of everything in a message but its ids: type, version, sender, nonce, lengths
	maxID      = MaxMessage - maxHead

	ratePerIP, burstPerIP     = 100, 1_000   // tombstones a second from one source
	ratePerNode, burstPerNode = 1_000, 5_000 // tombstones a second at this node, and once more what is kept for some
	rateLong, burstLong       = 20, 250      // of what is kept: for one source's brokers that were known for KnownLong
	rateFew, burstFew         = 1, 32        // of what is kept: for one source's others
	maxSources                = 16_384       // sources remembered by the limits
	maxFew                    = 32           // live tombstones of one source that are dropped after those of sources that have more

	maxWindow    = 8      // batches outstanding for each member, of hints and of pulls
	maxWanted    = 8_192  // ids waiting to be pulled from one origin
	maxDecisions = 4_096  // newest decisions kept for display and for repeating a report
	maxMembers   = 4_096  // members remembered, present and gone
	maxDirect    = 128    // members up to which the origin hints every member itself
	maxClocks    = 4_096  // (name, boot) pairs whose clock readings are kept
	maxWatched   = 16_384 // evicted registrations watched for being refuted
	maxRefuted   = 4_096  // refuted evictions counted
)

// KnownLong is for how long a broker must have been registered not to count as made up by whoever registers many.
const KnownLong = 10 * time.Minute
