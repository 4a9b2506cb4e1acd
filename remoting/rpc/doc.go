// Package rpc is the sockets around the wire format: the server that a NameServer listens with and the client
// for the few frames it sends itself.
//
// One goroutine at a time serves a connection. It reads what is there, handles every complete frame in order, appends the
// answers to one buffer and writes them together once no complete frame is left:
//
//	accept -> first bytes (PROXY header, TLS?) -> read -> frames -> Handler.Serve -> out buffer -> write -> read
//
// A slow reader therefore stops its own connection and nothing else. A connection that is silent for half a second parks:
// it has no goroutine and no buffer until the poller sees its next byte (Linux; elsewhere it keeps its goroutine). It follows NettyRemotingServer of Apache RocketMQ 5.5.0.
package rpc
