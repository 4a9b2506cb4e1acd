// Package node is one NameServer: the wiring of its parts, their start and stop, and the table of request codes
// (requests.go) with the handlers that turn requests into changes of the routing tables and back
// (DefaultRequestProcessor and ClientRequestProcessor of Apache RocketMQ 5.5.0).
//
// What starts, in this order; stop is the same list backwards:
//
//  1. the KV store is read
//  2. the tables are made, empty
//  3. the port is bound, so that a port in use is known before anything else happens
//  4. HTTP is answered (--http): "not ready" until the end of this list, and after the beginning of a stop
//  5. the node joins the others (--gossip)
//  6. the expiry scan begins
//  7. connections are accepted
//
// Handlers run in the goroutine of the connection that the request came on (remoting/rpc) and hold no lock of their
// own. What a table change demands of the outside (frames to brokers, connections to close, log lines) comes back
// as routes.Effects and is carried out after the table's lock was released.
package node
