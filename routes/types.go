package routes

import (
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// defaultTimeout is how long a registration lives without a sign of life when the broker named no timeout.
const defaultTimeout = 120 * time.Second

// MasterID is the broker id of a master.
const MasterID = 0

// Permission bits of a queue setting.
const (
	PermInherit  int32 = 1
	PermWrite    int32 = 2
	PermRead     int32 = 4
	PermPriority int32 = 8
)

// The values that the wire has, too.
type (
	Opt         = mq.Opt
	DataVersion = mq.DataVersion
)

// Tri is a boolean that may be absent. Absence of enableActingMaster marks a 4.x broker.
type Tri uint8

// The three values of a Tri.
const (
	Absent Tri = iota
	False
	True
)

// Conn is what the tables know of a connection. It never changes once made; the server makes one for each.
type Conn struct {
	ID        uint64         // accept sequence number, > 0; a later accept has a larger one
	FirstByte clock.Stamp    // when the first application byte was read (after PROXY header and TLS handshake)
	Source    mq.Source      // who it counts as: what every rule goes by
	Shared    bool           // its source may be several machines (--tombstones-from): see ordered
	Remote    netip.AddrPort // for events: the address in a PROXY header, believed or not, else that of the peer
	CanProve  bool           // acknowledged bytes can be told, and no PROXY header stands between
}

// Queue is a queue setting: what one broker offers for one topic.
type Queue struct {
	Read, Write, Perm, SysFlag int32
}

// Topic is one entry of a registration's topic table. Both slices may alias the frame: the tables copy what they keep.
type Topic struct {
	Name []byte // nil: the entry has no topicName and is skipped
	Key  []byte // of the entry in the table; nil means the same as Name
	Queue
}

// Mapping is one entry of a registration's topicQueueMappingInfoMap.
type Mapping struct {
	Topic  string // the key of the map
	Broker string // bname of the value
	Info   any    // the value, never changed once handed over; the tables do not look inside
	Size   int    // bytes of Info, about
}

// Filters is the filterServerList of a registration.
type Filters struct {
	Valid   bool // false (an explicit null, or a body that cannot carry one) leaves the stored list untouched
	Servers []string
}

// Fingerprint tells whether a body is the last accepted one of a broker: equal fingerprints are equal bodies, read in
// the same way. The zero Fingerprint equals nothing.
type Fingerprint struct {
	Length     int
	Hash       uint64 // of the body's bytes, keyed per process
	Version    int32  // of the request: it chooses the body's form
	Compressed bool
	Valid      bool
}

// Registration is a REGISTER_BROKER (103) request, decoded. Strings are kept by the tables and must not alias a frame.
type Registration struct {
	Cluster, Addr, Name string
	ID                  int64
	HAAddr              Opt
	Zone                Opt
	Timeout             Opt64 // heartbeatTimeoutMillis
	Acting              Tri   // enableActingMaster

	Version  int32 // of the request (MQVersion ordinal)
	Language uint8 // ordinal of LanguageCode: 0 is JAVA
	Conn     *Conn // it came on; never nil

	Print Fingerprint // of the body

	// What the body says. RegisterUnchanged does not read these.
	HasTopics    bool // the wrapper has a topic table
	Topics       []Topic
	DataVersion  DataVersion
	FreshVersion bool // the data version's timestamp is the time of decoding: it never equals a later one
	Mappings     []Mapping
	Filters      Filters

	Limit int64 // bytes that the tables may have with it, see Stats.Bytes; 0: as many as it takes

	Yield func() // called now and then during long work, without a lock held; may be nil
}

// Opt64 is an int64 that may be absent. The zero Opt64 is absent.
type Opt64 struct {
	N     int64
	Valid bool
}

// RegisterResult is the answer to a registration.
type RegisterResult struct {
	// Refused: a single topic came before the first full registration (code 1, "register broker failed").
	Refused bool
	// NoRoom: the tables would have more than Registration.Limit; nothing has changed.
	NoRoom bool
	// Dropped: the address registered under this id has a greater state version (code 0 with empty header).
	Dropped bool
	// HasMaster says that MasterAddr and HAAddr belong in the answer; HAAddr may still be absent.
	HasMaster  bool
	MasterAddr string
	HAAddr     Opt
}

// Unregistration is an UNREGISTER_BROKER (104) request.
type Unregistration struct {
	Cluster, Addr, Name string
	ID                  int64
	Conn                *Conn       // it came on; never nil
	OwnOnly             bool        // it may end only what its source claims: see Left.NotOwn
	At                  clock.Stamp // U: when the frame's first byte was there
}

// Leaving says whether an UNREGISTER makes a tombstone, and why not (docs/spec/tombstones.md#what-makes-a-tombstone).
type Leaving uint8

// What an UNREGISTER can mean for tombstones.
const (
	LeavingProven    Leaving = iota // on the owner of its source's claim, everything agrees: Departure is set
	LeavingUnknown                  // nothing registered, nothing remembered
	LeavingOtherName                // on the owner, but registered under another name
	LeavingOtherID                  // on the owner, but registered under another id
	LeavingOlderConn                // on a connection accepted before that owner: ignored, nothing was removed
	LeavingOtherConn                // on a newer or foreign connection: removed, but nobody's life was proven
	LeavingNoProof                  // on the owner, which can give no proof of life (PROXY header, platform, source)
)

// Left is the outcome of an UNREGISTER. The caller completes Departure.Life from the connection.
type Left struct {
	NotOwn    bool // nothing was changed, for it was to touch only what its source owns, and there is none, or more than that
	Leaving   Leaving
	Departure tombstone.Departure // valid only with LeavingProven
}

// Options are those settings of the NameServer that the tables obey. All can be changed while running.
type Options struct {
	SupportActingMaster  bool // supportActingMaster
	DeleteUnlistedTopics bool // deleteTopicWithBrokerRegistration
	NotifyMinBrokerID    bool // notifyMinBrokerIdChanged
}

// Member is one address of a broker.
type Member struct {
	ID   int64
	Addr string
}

// Broker is one entry of the address table A. Members are sorted by id.
type Broker struct {
	Cluster, Name string
	Members       []Member
	Zone          Opt
	Acting        bool // enableActingMaster
}

// BrokerQueue is the queue setting of one broker for a topic.
type BrokerQueue struct {
	Broker string
	Queue
}

// FilterServers is the filter-server list of one broker address.
type FilterServers struct {
	Addr    string
	Servers []string
}

// BrokerMapping is the mapping info that a broker gave for a topic.
type BrokerMapping struct {
	Broker string
	Info   any
}

// Route is the answer to a route query (TopicRouteData). Lists are sorted by broker name. HasMappings says that the mapping
// table knows the topic.
type Route struct {
	Topic       string
	Order       Opt // orderTopicConf
	Queues      []BrokerQueue
	Brokers     []Broker
	Filters     []FilterServers
	HasMappings bool
	Mappings    []BrokerMapping
}

// Cluster is one entry of the cluster table C. Brokers are sorted.
type Cluster struct {
	Name    string
	Brokers []string
}

// ClusterInfo is the answer to code 106: the tables A and C, both sorted.
type ClusterInfo struct {
	Brokers  []Broker
	Clusters []Cluster
}

// TopicQueue is one entry of a REGISTER_TOPIC_IN_NAMESRV (217) request. A broker name that is absent is an unknown broker.
type TopicQueue struct {
	Broker Opt
	Queue
}

// TopicKind chooses one of the topic lists by system flag.
type TopicKind uint8

// The lists of codes 311, 312 and 313.
const (
	UnitTopics             TopicKind = iota // bit 0 is set
	UnitSubscribed                          // bit 1 is set
	UnitSubscribedNonUnits                  // bit 1 is set and bit 0 is not
)

// Record is one registration, for inspection.
type Record struct {
	Cluster, Name, Addr string
	ID                  int64
	Generation          uint64
	Version             int32
	Language            uint8
	DataVersion         DataVersion
	Since               clock.Stamp // first registration since it was last gone
	LastRegister        clock.Stamp // of the claim that shows, like Owner
	LastSeen            clock.Stamp // registration, 904 or 322
	Timeout             time.Duration
	Topics              int  // of its broker name, in the topic table
	Superseded          bool // no member of the address table stands on it any more
	Owner               *Conn
	Kept                tombstone.Verdict // the last tombstone that did not evict it
	KeptAt              clock.Stamp       // zero: there was none
}

// Stats are sizes of the tables.
type Stats struct {
	Topics, Queues, Brokers, Registrations, Clusters int
	CachedRoutes, CachedBytes                        int64
	Bytes                                            int64         // what the tables take, about, without the cached routes
	LongestGap                                       time.Duration // between two REGISTERs of one broker that was not gone meanwhile
}
