// Package vanish searches all worlds of the rule about dead hosts (docs/spec/deadhosts.md#the-rule), without a bound on time or on faults.
//
// Time goes in ticks: T is three, D two, an answer is a vote for one and says for two that its sender would have told of life; a member is mute after three in
// vain. In each tick the world chooses for every node whether it hears the host, whether state was lost on the way (the old connection is dead, a
// new one is not), whether it is suspended, restarts, or gets a REGISTER on a new connection, and who can talk to whom. One answer may be kept back and
// come at any time later. Node 0 decides; whoever else has listened in vain for T may have evicted, and goes on voting. That new connections are
// filtered, and that probes are eaten on the way, is chosen once.
//
// What is put back afterwards is searched apart (restore.go): all worlds of one node's tables.
//
// Ghosts know what no node can: for how many ticks a node that may judge has truly listened in vain, and whose last word was "alive".
package vanish
