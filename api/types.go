package api

import "time"

// The shapes of /v1, as JSON. Times are wall clock and for people; nothing is decided by them. Names ending in _ms are
// milliseconds, those in _us microseconds.

// Error is the answer beside a status of 400 or more.
type Error struct {
	Error string `json:"error"`
}

// Asked says when an answer was made. Whoever tells how long ago something was counts from there: its own clock is another one.
type Asked struct {
	Now time.Time `json:"now"` // by the node's wall clock
}

// Members is /v1/members: the living members, this node first, then those that failed or left.
type Members struct {
	Asked
	Gossip  bool     `json:"gossip"` // false: the node gossips with nobody
	Node    string   `json:"node,omitempty"`
	Cluster string   `json:"cluster,omitempty"`
	Keys    []string `json:"keys,omitempty"` // fingerprints of the gossip keys that this node uses, the first for sending; none: not encrypted
	KV      string   `json:"kv,omitempty"`   // "missing": this node serves routes alone, for its KV store was lost
	Members []Member `json:"members"`
}

// Member is one member. One that failed stays listed for a day, or until it is back or forgotten.
type Member struct {
	Name         string    `json:"name"`
	Boot         string    `json:"boot"` // 16 hexadecimal digits, new at each start
	Addr         string    `json:"addr"`
	Self         bool      `json:"self"`
	State        string    `json:"state"`             // "alive", "failed" (lost without a word) or "left"
	Phase        string    `json:"phase"`             // "starting", "waiting", "ready", "draining", "stopping"; "unknown": another version
	Ready        bool      `json:"ready"`             // alive, and clients may be sent there
	Release      string    `json:"release,omitempty"` // of its program
	AgeMS        float64   `json:"age_ms"`            // since its start, at least
	GoneMS       float64   `json:"gone_ms,omitempty"` // since it failed or left
	NameServer   string    `json:"nameserver,omitempty"`
	HTTP         string    `json:"http,omitempty"`
	Since        time.Time `json:"since"`          // when this node first saw it
	RTT          float64   `json:"rtt_ms"`         // of the newest probe; 0: none yet
	OnlyTCP      bool      `json:"only_tcp"`       // its last answer, to a departure or a probe, came only after a try by TCP: UDP may be blocked
	HintsWaiting int       `json:"hints_waiting"`  // departures it has not answered for
	PullsWaiting int       `json:"pulls_waiting"`  // departures of its that this node asks about
	Keys         []string  `json:"keys,omitempty"` // fingerprints of its first gossip keys, the one for sending first; none: it has none, or its version tells none
	KV           string    `json:"kv,omitempty"`   // "missing": it serves routes alone, without its KV store
}

// Tombstones is /v1/tombstones, newest first.
type Tombstones struct {
	Asked
	Gossip    bool       `json:"gossip"`
	Node      string     `json:"node,omitempty"`
	Cluster   string     `json:"cluster,omitempty"`
	HeldUntil *time.Time `json:"held_until,omitempty"` // all evictions by tombstone are on hold until then
	Holds     []Hold     `json:"holds,omitempty"`      // everything that is on hold
	Live      int        `json:"live"`                 // own tombstones in all
	Own       []Own      `json:"own"`                  // departures that this node handled and told
	Decisions []Decision `json:"decisions"`            // what this node did on what others told
}

// Hold says which evictions by tombstone are on hold, for they were refuted.
type Hold struct {
	Scope   string    `json:"scope"`             // "broker" (of one source), "source" or "node"
	Cluster string    `json:"cluster,omitempty"` // of a broker
	Addr    string    `json:"addr,omitempty"`    // of a broker
	Source  string    `json:"source,omitempty"`  // of a broker: an address; of a source: an address, or a /64
	Until   time.Time `json:"until"`
}

// Tombstone says who left.
type Tombstone struct {
	Cluster  string `json:"cluster"`
	Broker   string `json:"broker"`
	ID       int64  `json:"id"`
	Addr     string `json:"addr"`
	Remote   string `json:"remote"` // source address of its connection
	Origin   string `json:"origin"` // the node that handled the UNREGISTER
	Boot     string `json:"boot"`
	Seq      uint64 `json:"seq"`
	Revision uint8  `json:"revision"` // 1: with late proof
}

// Own is a tombstone of this node and what each member did with it.
type Own struct {
	Tombstone
	Left      time.Time `json:"left"`
	AgeMS     float64   `json:"age_ms"`
	LifeKnown bool      `json:"life_known"` // there is a proof of life, so others may evict
	Reports   []Report  `json:"reports"`
}

// Report is what one member did.
type Report struct {
	Member  string   `json:"member"`
	Boot    string   `json:"boot"`
	State   string   `json:"state"`              // "no answer", "asked" (for the proof, and said no more yet) or "reported"
	Outcome string   `json:"outcome,omitempty"`  // with "reported": a name of outcomes in docs/metrics.md
	Why     string   `json:"why,omitempty"`      // the same in words
	AfterMS *float64 `json:"after_ms,omitempty"` // from the departure to the answer
}

// Decision is what this node did with a tombstone of another.
type Decision struct {
	Tombstone
	At time.Time `json:"at"`
	Verdict
}

// Verdict is a decision with both comparisons: a margin above zero speaks for the eviction, both must. A comparison
// that was not made is left out.
type Verdict struct {
	Outcome        string   `json:"outcome"`
	Why            string   `json:"why"`
	LifeMargin     *float64 `json:"life_margin_ms,omitempty"`     // the connection's first byte before the proof of life
	RegisterMargin *float64 `json:"register_margin_ms,omitempty"` // the last REGISTER before the departure
	AgeMS          float64  `json:"age_ms"`                       // of the departure when it was decided on, at most
}

// Brokers is /v1/brokers: the registrations, by cluster, name, id and address.
type Brokers struct {
	Asked
	Total   int      `json:"total"` // Brokers may hold fewer (?limit=)
	Brokers []Broker `json:"brokers"`
}

// Broker is one registration.
type Broker struct {
	Cluster     string      `json:"cluster"`
	Broker      string      `json:"broker"`
	ID          int64       `json:"id"`
	Addr        string      `json:"addr"`
	Version     string      `json:"version"`
	Language    string      `json:"language"`
	DataVersion DataVersion `json:"data_version"`
	Since       time.Time   `json:"since"`         // first registered, since it was last gone
	Registered  time.Time   `json:"last_register"` // last registered
	Seen        time.Time   `json:"last_seen"`     // last sign of life
	SeenAgo     float64     `json:"last_seen_ms"`
	Expires     float64     `json:"expires_ms"` // from now, without a sign of life; below zero: with the next scan
	Topics      int         `json:"topics"`     // of its broker name
	Superseded  bool        `json:"superseded,omitempty"`
	Conn        uint64      `json:"conn,omitempty"` // the connection that owns it
	Remote      string      `json:"remote,omitempty"`
	Kept        *Kept       `json:"tombstone_kept,omitempty"` // the last tombstone that did not evict it
}

// Kept is a tombstone that did not evict.
type Kept struct {
	At time.Time `json:"at"`
	Verdict
}

// DataVersion orders the topic tables of one broker.
type DataVersion struct {
	StateVersion int64 `json:"state_version"`
	Timestamp    int64 `json:"timestamp"` // milliseconds since 1970
	Counter      int64 `json:"counter"`
}

// Route is /v1/routes?topic=.
type Route struct {
	Topic   string        `json:"topic"`
	Order   string        `json:"order,omitempty"`
	Queues  []Queue       `json:"queues"`
	Brokers []RouteBroker `json:"brokers"`
}

// Queue is what one broker offers for the topic.
type Queue struct {
	Broker  string `json:"broker"`
	Read    int32  `json:"read"`
	Write   int32  `json:"write"`
	Perm    int32  `json:"perm"` // 4 read, 2 write
	SysFlag int32  `json:"sys_flag"`
}

// RouteBroker is one broker of a route.
type RouteBroker struct {
	Cluster      string      `json:"cluster"`
	Broker       string      `json:"broker"`
	Zone         string      `json:"zone,omitempty"`
	ActingMaster bool        `json:"acting_master,omitempty"`
	Addrs        []RouteAddr `json:"addrs"`
}

// RouteAddr is one address; id 0 is the master.
type RouteAddr struct {
	ID   int64  `json:"id"`
	Addr string `json:"addr"`
}

// Conflicts is /v1/conflicts: the last of them, newest first.
type Conflicts struct {
	Asked
	Total     uint64     `json:"total"` // since the start; fewer are kept
	Conflicts []Conflict `json:"conflicts"`
}

// Conflict is a registration that contradicts another one.
type Conflict struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // a name of conflicts in docs/metrics.md
	What    string    `json:"what"` // the same in words
	Cluster string    `json:"cluster"`
	Broker  string    `json:"broker"`
	ID      int64     `json:"id"`
	Addr    string    `json:"addr"`
	Old     string    `json:"old,omitempty"` // the former name, cluster or address
	Remote  string    `json:"remote,omitempty"`
}

// Forgotten answers POST /v1/force-leave.
type Forgotten struct {
	Forgotten string `json:"forgotten"` // the member's name
}

// Reached answers POST /v1/reach: whether the address of a registered broker takes connections from the node.
type Reached struct {
	Node    string  `json:"node,omitempty"` // its name among the members; none: it gossips with nobody
	Addr    string  `json:"addr"`
	Reached bool    `json:"reached"`
	Why     string  `json:"why,omitempty"` // why not
	TookMS  float64 `json:"took_ms"`
}

// Drain answers /v1/drain and /v1/undrain: how far a node is that lets its clients go.
type Drain struct {
	Draining  bool    `json:"draining"`
	ForMS     float64 `json:"for_ms"`     // since it began; 0: it does not drain
	UnaskedMS float64 `json:"unasked_ms"` // since a client asked for a route, or since the drain began where none did
	Quiet     bool    `json:"quiet"`      // that is long enough (--drain-quiet): nobody is left who would miss the node
}

// SafeToStop is /v1/safe-to-stop: whether the other nodes have all that this one has.
type SafeToStop struct {
	Safe    bool     `json:"safe"`
	Settled bool     `json:"settled"` // false: it is not safe only as far as is known yet; ask again
	Reasons []string `json:"reasons"` // why not; none when it is safe
}

// Addresses is /v1/addresses: what the address server of this node tells brokers and clients.
type Addresses struct {
	Asked
	On        bool              `json:"on"`                  // there is one (--address-server); else all that follows is empty
	Clients   []string          `json:"clients"`             // HOST:PORT of each, as served; empty: 503 is answered
	Brokers   []string          `json:"brokers"`             // likewise
	Still     string            `json:"still,omitempty"`     // why the lists stay as they are, whatever is known
	LeftOut   []LeftOut         `json:"left_out,omitempty"`  // living members that are left out of a list
	Conflicts []AddressConflict `json:"conflicts,omitempty"` // addresses under which several members are listed
}

// LeftOut is a member that is in no list, or not in that of clients, although it lives.
type LeftOut struct {
	Member string `json:"member"`
	Why    string `json:"why"` // with the remedy
}

// AddressConflict is one address of several members.
type AddressConflict struct {
	Addr    string   `json:"addr"` // HOST:PORT
	Members []string `json:"members"`
}
