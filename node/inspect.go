package node

import "github.com/epitaph-mq/epitaph/api"

// Registrations is what /v1/brokers answers, for programs that run nodes themselves.
func (n *Node) Registrations(limit int) api.APIBrokers { return n.apiBrokers(limit) }

// Tombstones is what /v1/tombstones answers, likewise.
func (n *Node) Tombstones(limit int) api.APITombstones { return n.apiTombstones(limit) }
