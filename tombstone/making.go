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

// making limits how many tombstones one source address and this node may make: a loop of REGISTER and UNREGISTER
// must neither fill the members' queues nor push out other brokers' tombstones.
type making struct {
	node    *rate.Limiter
	sources map[netip.Addr]*rate.Limiter
}

func newMaking() making {
	return making{node: rate.NewLimiter(ratePerNode, burstPerNode), sources: map[netip.Addr]*rate.Limiter{}}
}

// allow takes one token of ip's and one of the node's, or none.
func (m *making) allow(ip netip.Addr, now clock.Stamp) NotMade {
	at := time.Unix(0, now.Boot)
	source := m.sources[ip]
	if source == nil {
		if len(m.sources) >= maxSources {
			m.dropFull(at)
		}
		if len(m.sources) >= maxSources {
			return SourceLimit
		}
		source = rate.NewLimiter(ratePerIP, burstPerIP)
		m.sources[ip] = source
	}
	switch {
	case source.TokensAt(at) < 1:
		return SourceLimit
	case !m.node.AllowN(at, 1):
		return NodeLimit
	}
	source.AllowN(at, 1)
	return Made
}

// dropFull drops the sources whose buckets are full again: a new bucket would be the same.
func (m *making) dropFull(at time.Time) {
	for ip, source := range m.sources {
		if source.TokensAt(at) >= burstPerIP {
			delete(m.sources, ip)
		}
	}
}
