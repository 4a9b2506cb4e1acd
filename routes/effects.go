package routes

import "net/netip"

// Effects is what has to happen outside of the tables after a step, in this order. The zero Effects is nothing.
type Effects struct {
	Notify []Notification // frames to brokers
	Close  []uint64       // connections to close
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

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of events. The last four are conflicts between registrations that an operator should know of.
const (
	BrokerRegistered      EventKind = iota // an address appeared in the live table
	BrokerUnregistered                     // by its own request
	BrokerLost                             // its connection was lost
	BrokerExpired                          // no sign of life for its timeout
	BrokerEvicted                          // by a tombstone
	BrokerMoved                            // an address has another id now; OldID is the former one
	TopicsChanged                          // a registration added, changed or removed queue settings
	RegisterRefused                        // a single topic before the first full registration
	RegisterDropped                        // the registered address Old has a greater state version
	UnregisterIgnored                      // it came on a connection older than the owner
	WritePermWiped                         // by an operator
	WritePermAdded                         // by an operator
	TopicDeleted                           // by an operator (Topic; Cluster unless for all)
	TopicRegistered                        // by an operator (Topic)
	ConflictNames                          // one address under two broker names; Old is the former name
	ConflictClusters                       // one broker name in two clusters; Old is the first one's
	ConflictMasterAddress                  // a master's address changed without an unregister; Old is the former address
	ConflictLoopback                       // a loopback address advertised by another host
)

var eventNames = [...]string{
	BrokerRegistered:      "broker registered",
	BrokerUnregistered:    "broker unregistered",
	BrokerLost:            "broker connection lost",
	BrokerExpired:         "broker expired",
	BrokerEvicted:         "broker evicted by tombstone",
	BrokerMoved:           "broker id changed",
	TopicsChanged:         "broker topics changed",
	RegisterRefused:       "registration refused: single topic before the first full registration",
	RegisterDropped:       "registration dropped: registered address has a greater state version",
	UnregisterIgnored:     "unregister ignored: connection is older than the registration's",
	WritePermWiped:        "write permission wiped",
	WritePermAdded:        "write permission added",
	TopicDeleted:          "topic deleted",
	TopicRegistered:       "topic registered",
	ConflictNames:         "conflict: one address under two broker names",
	ConflictClusters:      "conflict: one broker name in two clusters",
	ConflictMasterAddress: "conflict: master address changed without unregister",
	ConflictLoopback:      "conflict: loopback address registered from another host",
}

// String is a constant message, fit for a log line.
func (k EventKind) String() string { return eventNames[k] }

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
	Conn                   uint64
	Remote                 netip.AddrPort
	Generation             uint64
}
