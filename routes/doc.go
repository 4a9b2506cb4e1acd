// Package routes holds the routing tables of a NameServer: who serves which topic, and who is alive. It follows
// RouteInfoManager and BatchUnregistrationService of Apache RocketMQ 5.5.0 step by step (docs/spec/nameserver.md#routing);
// what it does otherwise on purpose is listed below. It knows no sockets, no wire format, no gossip, and writes no log.
//
// The tables, with the names the NameServer gives them:
//
//	T  topic        -> broker name -> queue setting        topic, entry
//	A  broker name  -> cluster, members (id -> address)    broker, member
//	C  cluster      -> broker names                        state.clusters
//	L  (cluster, address) -> last seen, version, claims ... live
//	F  (cluster, address) -> filter servers                live.filters
//	M  topic        -> mappings, each with its giver       state.mappings
//
// Beside them stand indexes, so that no removal looks at topics or brokers it does not touch: broker -> topics
// (broker.topics), connection -> registrations (state.conns), registration -> members it keeps alive (live.backs),
// broker -> registrations made under its name (broker.lives).
//
// # Lock rule
//
// Table is one RWMutex around state. Registration bodies are parsed before the lock is taken and routes are encoded
// after it was released. A reader of a cached route takes no lock. Every stamp that a tombstone is compared with is
// read inside the lock, which is why Table is given a clock and only state's methods take a now. Effects (frames
// to send, connections to close, lines to log) are returned as data and happen after the lock was released.
//
// # Invariants, checked by checkInvariants after every step of every test
//
//  1. A broker has at least one member; its members are sorted by id, without duplicate ids or addresses.
//  2. A broker is in the set of at least one cluster, and every set names only brokers of A. No set is empty.
//  3. Every member is kept alive by exactly one registration of L with its address, which lists the broker in backs;
//     every broker in backs has such a member.
//  4. Every registration belongs to a broker of A (its latest name) and is in that broker's lives; its cluster's set
//     names that broker.
//  5. A hidden registration keeps at least one member alive, and answers no question about L.
//  6. The registrations listed under a connection are exactly those it owns a claim of; a listed connection owns or is
//     remembered for at least one.
//  7. Every topic of T has at least one entry; its entries are sorted by broker, without duplicates, and name brokers of A.
//  8. entry.pos and broker.topics agree in both directions, and their numbers are equal.
//  9. The name index holds exactly the topics of T. No two topics have one name.
//  10. Equal queue settings are stored once, and each setting's count of uses is exact.
//  11. Generations of registrations are distinct, not zero, and at most state.gen.
//  12. A remembered owner's source has no claim on a visible registration of its key, and is listed under its connection.
//  13. The bytes counted by the route cache are those of the routes it holds, and at most the budget.
//  14. A broker's tally is that of its entries, as if it were summed up anew.
//  15. Every mapping of M was given by a broker of A, which lists its topic in mapped; every topic there has such a mapping. No
//     topic of M has none, or more than topicMappings, and of one giver and name there is one.
//  16. A registration has 1 to 8 claims of different sources, the one that registered last first.
//  17. What the tables are said to take is the sum of what each thing in them does, on the account of a broker of A each.
//  18. What is set aside has one claim, is of a key that is not in L, and of a broker name as it was left; it is within its bounds, and
//     counted.
//
// # Deviations from the original
//
// A registration dies with every address it keeps alive (a lost connection, an expiry): the original removes one of
// several (docs/spec/nameserver.md#dev-3). A removal never takes a newer registration with it. The last address of a broker
// name takes the name out of every cluster (docs/spec/nameserver.md#dev-4). A refused single-topic registration never leaves
// a broker without address (docs/spec/nameserver.md#dev-5). Mappings end with the broker that gave them
// (docs/spec/nameserver.md#dev-21). An UNREGISTER on a connection older than the owner of its own
// source's claim is ignored (docs/spec/nameserver.md#dev-11). A registration on such a connection does not change that owner
// (docs/spec/nameserver.md#dev-13). A lost connection ends its own source's claim; when that shows, one of another source that
// registered within the window keeps the registration (docs/spec/nameserver.md#dev-13). With --dead-hosts=on the claim of a
// vanished host ends in the same way while its connection is open, and is put back when that host is heard (docs/spec/deadhosts.md).
package routes
