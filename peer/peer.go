// Package peer says who the nodes of a cluster are to each other, and what the messages between them may be at most.
package peer

import "fmt"

const (
	MaxMessage = 1_100 // bytes of one encoded message, so that it fits into any packet
	MaxName    = 128   // bytes of a member's name
)

// Peer is one life of one member: the name memberlist knows it by and the random number of its process start.
type Peer struct {
	Name string
	Boot uint64
}

// Valid says what is wrong with the sender of a decoded message; nil when nothing is wrong.
func (p Peer) Valid() error {
	if p.Name == "" || len(p.Name) > MaxName {
		return fmt.Errorf("sender name of %d bytes, want 1 to %d", len(p.Name), MaxName)
	}
	return nil
}
