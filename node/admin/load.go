package admin

import (
	"time"

	"github.com/epitaph-mq/epitaph/api"
)

func (h *Server) load() api.Load {
	server, table := h.view.Connections(), h.view.Table().Stats()
	v := api.Load{
		At: time.Now().Round(time.Millisecond), UpMS: millis(h.view.Up()),
		Connections: server.Conns, Accepted: server.Accepted, Brokers: table.Brokers, Registrations: table.Registrations,
		Topics: table.Topics, ReceivedBytes: server.BytesIn, SentBytes: server.BytesOut, Overloads: server.Overloads,
		GoAways: server.GoAways, SharedSources: h.view.SharedSources(), Requests: []api.Requests{},
	}
	v.Ready, v.Why = h.view.Ready()
	v.ReadyAfterMS, v.LongestGapMS = millis(h.view.ReadyAfter()), millis(table.LongestGap)
	for slot, code := range h.counts.codes {
		r := api.Requests{Code: code.Code, Name: code.Name, Count: h.counts.Handled(slot)}
		if r.Count == 0 {
			continue
		}
		r.Times, r.Timed = h.counts.times[slot].list()
		v.Requests = append(v.Requests, r)
	}
	return v
}
