package node

import "github.com/epitaph-mq/epitaph/api"

// Registrations is what /v1/brokers answers, for programs that run nodes themselves.
func (n *Node) Registrations(limit int) api.Brokers { return n.apiBrokers(limit) }

// Tombstones is what /v1/tombstones answers, likewise.
func (n *Node) Tombstones(limit int) api.Tombstones { return n.apiTombstones(limit) }
