// Package cluster runs several nodes in one process: the same nodes as everywhere, each with its own ports, tables and
// data directory, gossiping over loopback. It is for trying epitaph out and for tests, not for operation: who stops the
// process stops all of them.
//
//	config.go  what to run
//	cluster.go start and stop
//	broker.go  a synthetic broker on the real wire; demo.go makes some of them come, go and crash
//	watch.go   who is registered where, and why no more, from what the nodes answer; stream.go tells the departures
package cluster
