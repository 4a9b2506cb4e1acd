package node

import (
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/remoting"
)

func (n *Node) apiLoad() api.Load {
	server, table := n.server.Stats(), n.table.Stats()
	v := api.Load{
		At: time.Now().Round(time.Millisecond), UpMS: millis(n.clock().Sub(n.started)),
		Connections: server.Conns, Accepted: server.Accepted, Brokers: table.Brokers, Registrations: table.Registrations,
		Topics: table.Topics, ReceivedBytes: server.BytesIn, SentBytes: server.BytesOut, Overloads: server.Overloads,
		GoAways: server.GoAways, Requests: []api.Requests{},
	}
	v.Ready, v.Why = n.Ready()
	for slot := range otherCode + 1 {
		r := api.Requests{Code: -1, Name: "other", Count: n.counts.handled(slot)}
		if r.Count == 0 {
			continue
		}
		if slot < otherCode {
			r.Code, r.Name = countedCodes[slot], remoting.CodeName(countedCodes[slot])
		}
		r.Times, r.Timed = n.times.list(slot)
		v.Requests = append(v.Requests, r)
	}
	return v
}
