package world

// Residual is a case in which a wrong eviction is known to remain (docs/guarantees.md). One at a time can be switched on.
type Residual int

// Residual cases.
const (
	NoResidual              Residual = iota
	ResidualOverlap                  // two live processes behind one address and one source IP
	ResidualProxyBuffers             // a TCP proxy without PROXY header, which acknowledges what the broker never gets
	ResidualProxyOpensEarly          // such a proxy that has connections ready, and has said something on them
	ResidualContainer                // an inner broker is added again while its UNREGISTER is still on its way
	ResidualFirstExchange            // an origin frozen before its clock was ever read
	ResidualKeepsSocket              // a 5.x broker that keeps its socket open when a call has timed out
	ResidualLiar                     // a member that holds the key and lies
	ResidualForger                   // a client behind the broker's own source IP that registers as the broker
	Residuals
)

var residualNames = [Residuals]string{
	"none", "overlapping lives", "buffering proxy", "proxy that opens early", "inner broker added again during a stall",
	"origin frozen before the first exchange", "socket kept open after a timeout", "lying member", "forging client",
}

func (r Residual) String() string { return residualNames[r] }
