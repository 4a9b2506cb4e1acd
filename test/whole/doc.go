// Package whole runs whole nodes (node, remoting/rpc, routes, gossip and the real memberlist) in virtual time.
//
// Nothing of a node is replaced but its sockets and its clocks: between the nodes there is a network in memory that cuts, loses, delays, doubles,
// reorders, replays and damages packets and streams (network.go, stream.go); brokers are those of package world, whose frames are real here, over
// connections in memory that say what the broker's kernel has acknowledged, on which a frame may come in two segments and a write may take its time,
// before anything is on its way and after it (broker.go, tcp.go); each machine has clocks of its own. All of it runs in one testing/synctest bubble,
// so that a minute takes milliseconds.
//
// The schedules are those of package world, generated and written by hand: what package sim plays with the bare
// exchange, this one plays with everything around it. Goroutines and memberlist's own dice make each run of one seed a
// little different, so a failing seed prints its schedule and what happened.
//
// Ghosts (package world) are told of the nodes' events and decisions (ghost.go) and check the protocol's invariants (docs/spec/tombstones.md#invariants):
//
//   - INV-1: No tombstone evicts a registration that in the broker's own order came after its UNREGISTER.
//   - INV-2: What a node holds is explained by a REGISTER that this node read from a connection that is open.
//   - INV-5: Up to 256 packets of the run once more, in any order, evict nothing more.
//   - INV-6: No tombstone is older than its TTL.
//   - INV-7: After the faults have ended all nodes find each other again, and no registration is left that a live tombstone can
//     prove to be gone.
//   - INV-9: Nothing but an UNREGISTER makes a tombstone: no stop, no crash, no restart.
//   - INV-10: An eviction is refuted when its own connection goes on registering the broker, and only then.
//
// Some schedules have nodes with --dead-hosts (hosts.go): the sockets in memory have the kernels of package world, and new connections are tried
// through them. The rules V-1, V-3 and V-13 to V-18 (docs/spec/deadhosts.md#rules) are checked at every eviction, whenever something is put back, at
// every UNREGISTER after one, and by a host that dies at the end.
package whole
