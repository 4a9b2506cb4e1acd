package routes

import (
	"net/netip"
	"time"

	"github.com/epitaph-mq/epitaph/mq"
)

// Effects is what has to happen outside of the tables after a step, in this order. The zero Effects is nothing.
type Effects struct {
	Notify []Notification // frames to brokers
	Close  []Closing      // connections to close, each at most once
	Events []Event        // one log line each
}

// Notification is one NOTIFY_MIN_BROKER_ID_CHANGE (905), to be sent to all receivers with the same opaque. Exactly one of
// Offline and HA is there after an unregistration and a registration respectively, unless the broker gave no HA address.
type Notification struct {
	Broker    string // for the log; the frame does not carry it
	MinID     int64
	MinAddr   string
	Offline   Opt
	HA        Opt
	Receivers []string // addresses, by broker id
}

// Closing is a connection to close because a broker that it carried has expired. Other registrations may live on it, and go
// with it: then it is closed only when nothing was read from it for Silent, the time after which the expired broker was given up.
// The tables do not know what is read; whoever closes does. Zero or less: it is closed whatever was read.
type Closing struct {
	Conn   uint64
	Silent time.Duration
}

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of events. The last five are conflicts between registrations that an operator should know of.
const (
	BrokerRegistered      EventKind = iota // an address appeared in the live table
	BrokerUnregistered                     // by its own request
	BrokerLost                             // its connection was lost
	BrokerExpired                          // no sign of life for its timeout
	BrokerEvicted                          // by a tombstone
	BrokerVanished                         // its host has vanished
	BrokerRestored                         // put back as it was, for its host is heard again
	BrokerMoved                            // an address has another id now; OldID is the former one
	TopicsChanged                          // a registration added, changed or removed queue settings
	RegisterRefused                        // a single topic before the first full registration
	RegisterDropped                        // the registered address Old has a greater state version
	RegisterCut                            // LeftOut of what it brought is beyond the limits, the rest was taken
	UnregisterIgnored                      // it came on a connection older than the owner
	WritePermWiped                         // by an operator
	WritePermAdded                         // by an operator
	TopicDeleted                           // by an operator (Topic; Cluster unless for all)
	TopicRegistered                        // by an operator (Topic)
	ConflictNames                          // one address under two broker names; Old is the former name
	ConflictClusters                       // one broker name in two clusters; Old is the first one's
	ConflictMasterAddress                  // a master's address changed without an unregister; Old is the former address
	ConflictLoopback                       // a loopback address advertised by another host
	ConflictSources                        // another source's claim shows than before: Old is that one
)

// EventKinds is how many kinds there are.
const EventKinds = int(ConflictSources) + 1

// eventTexts are the kinds' names for programs, which never change (labels of metrics, values of /v1), and their words for
// log lines.
var eventTexts = [EventKinds]struct{ name, words string }{
	BrokerRegistered:      {"broker_registered", "broker registered"},
	BrokerUnregistered:    {"broker_unregistered", "broker unregistered"},
	BrokerLost:            {"broker_connection_lost", "broker connection lost"},
	BrokerExpired:         {"broker_expired", "broker expired"},
	BrokerEvicted:         {"broker_evicted", "broker evicted by tombstone"},
	BrokerVanished:        {"broker_vanished", "broker evicted: its host has vanished"},
	BrokerRestored:        {"broker_restored", "broker put back: its host is heard again"},
	BrokerMoved:           {"broker_id_changed", "broker id changed"},
	TopicsChanged:         {"topics_changed", "broker topics changed"},
	RegisterRefused:       {"registration_refused", "registration refused: single topic before the first full registration"},
	RegisterDropped:       {"registration_dropped", "registration dropped: registered address has a greater state version"},
	RegisterCut:           {"registration_cut", "registration taken in part: more topics, or longer names, than the limits allow"},
	UnregisterIgnored:     {"unregister_ignored", "unregister ignored: connection is older than the registration's"},
	WritePermWiped:        {"write_permission_wiped", "write permission wiped"},
	WritePermAdded:        {"write_permission_added", "write permission added"},
	TopicDeleted:          {"topic_deleted", "topic deleted"},
	TopicRegistered:       {"topic_registered", "topic registered"},
	ConflictNames:         {"one_address_two_names", "conflict: one address under two broker names"},
	ConflictClusters:      {"one_name_two_clusters", "conflict: one broker name in two clusters"},
	ConflictMasterAddress: {"master_address_changed", "conflict: master address changed without unregister"},
	ConflictLoopback:      {"loopback_address", "conflict: loopback address registered from another host"},
	ConflictSources:       {"two_sources", "conflict: one registration from several source addresses"},
}

// String is a constant message, fit for a log line.
func (k EventKind) String() string { return eventTexts[k].words }

// Name is the kind for programs.
func (k EventKind) Name() string { return eventTexts[k].name }

// Conflict says that the event is a warning to the operator.
func (k EventKind) Conflict() bool { return k >= ConflictNames }

// Event is one change of state. Fields that do not belong to the kind are zero.
type Event struct {
	Kind                   EventKind
	Cluster, Name, Addr    string
	ID                     int64
	Topic                  string
	Old                    string // see the kind
	OldID                  int64  // BrokerMoved: the former id
	Added, Changed, Erased int    // queue settings
	LeftOut                int    // RegisterCut: topics, mappings, filter servers and addresses
	Conn                   uint64
	Remote                 netip.AddrPort // what a PROXY header names, believed or not, else the peer
	Source                 mq.Source      // who that connection counts as
	By                     netip.AddrPort // who asked for it, like Remote, where that is another connection
	BySource               mq.Source      // who that one counts as
	Generation             uint64
}

// by says whose connection an event is about.
func (e *Event) by(c *Conn) { e.Conn, e.Remote, e.Source = c.ID, c.Remote, c.Source }
