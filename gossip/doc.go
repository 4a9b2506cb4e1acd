// Package gossip carries tombstones between nodes: hashicorp/memberlist and MessagePack around tombstone.Exchange.
// It decides nothing. It knows neither routes nor frames; what it hands to memberlist are the four messages of
// package tombstone, and the ids of this node's own tombstones in push/pull state.
//
// memberlist calls back from its own goroutines, sometimes before Create returned and with buffers that it uses
// again: each callback copies, queues and returns. One goroutine (loop) feeds the Exchange and sends what it puts out.
//
// A node's name in memberlist is "NAME~BOOT", BOOT being random for each start, so a node that was replaced is
// back under its name, with another address, at once. See docs/gossip.md.
package gossip
