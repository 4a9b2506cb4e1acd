package tombstone

import (
	"net/netip"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/clock"
)

// NotMade says why an UNREGISTER on the owning connection made no tombstone. It was handled all the same.
type NotMade uint8

// Reasons; the zero value says that a tombstone was made.
const (
	Made         NotMade = iota
	NoStamp              // no stamp of U or no source address: the connection gives no proof
	TooLong              // the names do not fit into one message
	TooOld               // handled longer than the TTL after its first byte was there
	SourceLimit          // too many from this source address
	NodeLimit            // too many at this node
	notMadeKinds         // how many there are
)

var notMadeNames = [notMadeKinds]string{"made", "no stamp", "too long", "too old", "source limit", "node limit"}

// String is the reason in words.
func (n NotMade) String() string { return notMadeNames[n] }

// Name is the reason for programs: metrics, and the log beside the words.
func (n NotMade) Name() string { return strings.ReplaceAll(notMadeNames[n], " ", "_") }

// making limits how many tombstones one source and this node may make: a loop of REGISTER and UNREGISTER must neither fill the
// members' queues nor push out other brokers' tombstones. What a few sources that make many leave of the node's rate is not
// all that others get: there is a second one as large, for brokers that were known for long and for sources that make few, and each
// source has a share of it.
type making struct {
	node, kept *rate.Limiter
	sources    map[netip.Prefix]*source
}

// source is an address, or the /64 that an IPv6 host can choose from.
type source struct {
	all  *rate.Limiter
	long *rate.Limiter // of kept, for brokers that were known for long
	few  *rate.Limiter // of kept, for others
}

func newMaking() making {
	return making{
		node: rate.NewLimiter(ratePerNode, burstPerNode), kept: rate.NewLimiter(ratePerNode, burstPerNode),
		sources: map[netip.Prefix]*source{},
	}
}

func newSource() *source {
	return &source{
		all: rate.NewLimiter(ratePerIP, burstPerIP), long: rate.NewLimiter(rateLong, burstLong), few: rate.NewLimiter(rateFew, burstFew),
	}
}

// allow takes one token of the source's and one of the node's, or none. long says that the broker was known for KnownLong.
func (m *making) allow(ip netip.Addr, long bool, now clock.Stamp) NotMade {
	at := time.Unix(0, now.Boot)
	from := sourceOf(ip)
	s := m.sources[from]
	if s == nil {
		if len(m.sources) >= maxSources {
			m.dropFull(at)
		}
		if len(m.sources) >= maxSources {
			return SourceLimit
		}
		s = newSource()
		m.sources[from] = s
	}
	if s.all.TokensAt(at) < 1 {
		return SourceLimit
	}
	if !m.node.AllowN(at, 1) {
		share := s.few
		if long {
			share = s.long
		}
		if share.TokensAt(at) < 1 || !m.kept.AllowN(at, 1) {
			return NodeLimit
		}
		share.AllowN(at, 1)
	}
	s.all.AllowN(at, 1)
	return Made
}

// dropFull drops the sources whose buckets are full again: new buckets would be the same.
func (m *making) dropFull(at time.Time) {
	for ip, s := range m.sources {
		if s.all.TokensAt(at) >= burstPerIP && s.long.TokensAt(at) >= burstLong && s.few.TokensAt(at) >= burstFew {
			delete(m.sources, ip)
		}
	}
}
