package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/vanish"
)

var modeNames = [...]string{vanish.Off: "off", vanish.Observe: "observe", vanish.On: "on"}

// vanished answers GET /v1/vanished.
func (h *Server) vanished(w http.ResponseWriter, r *http.Request) {
	limit, fault := limitOf(r)
	if fault != "" {
		writeJSON(w, http.StatusBadRequest, api.Error{Error: fault})
		return
	}
	broker := r.URL.Query().Get("broker")
	v := Vanished(h.view, limit, broker)
	if broker != "" && v.Gossip && v.Total == 0 {
		writeJSON(w, http.StatusNotFound, api.Error{Error: vanished.ErrUnknown.Error()})
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// Vanished is what /v1/vanished answers: about silent hosts, or about those of a broker by its name or its address.
func Vanished(view View, limit int, broker string) api.Vanished {
	s := view.Vanished()
	if s == nil {
		return vanishedOf(view, nil, nil, limit)
	}
	st := s.Status()
	hosts := st.Of(broker)
	if broker == "" {
		hosts = slices.DeleteFunc(slices.Clone(st.Hosts), func(h vanish.HostStatus) bool { return !h.Silent })
		order.Stable(hosts, func(a, b vanish.HostStatus) int { return cmp.Compare(b.Silence, a.Silence) })
	}
	return vanishedOf(view, &st, hosts, limit)
}

// pollVanished asks all nodes now. It makes the node act towards others, so it is on the socket alone, and once a second.
func (h *Server) pollVanished(w http.ResponseWriter, r *http.Request) {
	broker, s := r.URL.Query().Get("broker"), h.view.Vanished()
	switch {
	case broker == "":
		writeJSON(w, http.StatusBadRequest, api.Error{Error: "broker: missing; POST to /v1/vanished?broker=NAME or HOST:PORT"})
		return
	case s == nil:
		writeJSON(w, http.StatusConflict, api.Error{Error: "this node gossips with nobody, so there is nobody to ask"})
		return
	}
	turn, cancel := context.WithTimeout(r.Context(), reachWait)
	defer cancel()
	if err := h.reaches.Wait(turn); err != nil {
		writeJSON(w, http.StatusTooManyRequests, api.Error{Error: "one broker a second is asked about, and others ask, too; ask again"})
		return
	}
	st, hosts, err := s.Poll(r.Context(), broker)
	if errors.Is(err, vanished.ErrUnknown) {
		writeJSON(w, http.StatusNotFound, api.Error{Error: err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, vanishedOf(h.view, &st, hosts, apiLimitDefault))
}

func vanishedOf(view View, st *vanished.Status, hosts []vanish.HostStatus, limit int) api.Vanished {
	now := thisMoment()
	v := api.Vanished{Asked: now.asked(), Mode: modeNames[vanish.Off], Hosts: []api.VanishedHost{}, Decisions: []api.VanishedDecision{}}
	if st == nil {
		return v
	}
	who := view.Identity()
	v.Gossip, v.Node, v.Cluster, v.Mode = true, who.Name, who.Cluster, modeNames[st.Mode]
	v.AfterMS, v.Nodes, v.Living, v.Quorum = millis(st.After), st.Nodes, st.Living, st.Quorum
	v.Braked, v.AnsweredFor, v.Draining, v.Watched = st.Braked, st.AnsweredFor, st.Draining, st.Lines
	v.HeldUntil = now.atIf(st.HeldUntil)
	counts := notJudged(st)
	for _, reason := range vanished.NotJudged() {
		if n := counts[reason]; n > 0 {
			v.NotJudged = append(v.NotJudged, api.NotJudged{Reason: reason, Registrations: n})
		}
	}
	v.Total = len(hosts)
	for i := range hosts[:min(limit, len(hosts))] {
		v.Hosts = append(v.Hosts, apiHost(st, &hosts[i], now))
	}
	for _, d := range st.Decisions[:min(limit, len(st.Decisions))] {
		v.Decisions = append(v.Decisions, apiVanished(&d, now))
	}
	return v
}

// notJudged counts registrations whose hosts may not be judged, by reason; none where nobody is.
func notJudged(st *vanished.Status) map[string]int {
	counts := map[string]int{}
	if st.Mode == vanish.Off {
		return counts
	}
	for i := range st.Hosts {
		h := &st.Hosts[i]
		for j := range h.Claims {
			if why := st.NotJudged(h, &h.Claims[j]); why != "" {
				counts[why]++
			}
		}
	}
	return counts
}

// atIf is the time of a stamp, unless that is zero.
func (m moment) atIf(s clock.Stamp) *time.Time {
	if s.IsZero() {
		return nil
	}
	at := m.at(s)
	return &at
}

func apiHost(st *vanished.Status, h *vanish.HostStatus, now moment) api.VanishedHost {
	v := api.VanishedHost{
		Source: h.Source.String(), Heard: now.at(h.Life), SilenceMS: millis(h.Silence), Silent: h.Silent, Connects: h.Connects,
		AnsweredNew: now.atIf(h.LastAnswer), Brokers: []api.VanishedBroker{},
	}
	for i := range h.Claims {
		c := &h.Claims[i]
		b := api.VanishedBroker{
			Cluster: c.Cluster, Broker: c.Name, ID: c.BrokerID, Addr: c.Addr, Conn: c.Conn, Watched: c.Watched, Calibrated: c.Calibrated,
			NotJudged: st.NotJudged(h, c), Says: c.Why.Name(), Unanswered: c.Unanswered, OnHold: c.OnHold, Evicted: now.atIf(c.EvictedAt),
		}
		for _, w := range c.Words {
			word := api.VanishedWord{
				Member: w.Member, Answered: now.atIf(w.Answered), Unanswered: w.Asks, Mute: w.Mute, Alive: w.Alive, Heard: now.atIf(w.Life),
			}
			if word.Answered != nil {
				word.Says = w.Why.Name()
			}
			b.Words = append(b.Words, word)
		}
		v.Brokers = append(v.Brokers, b)
	}
	return v
}

func apiVanished(d *vanished.Decision, now moment) api.VanishedDecision {
	v := api.VanishedDecision{
		At: now.at(d.At), Kind: string(d.Kind), Cluster: d.Claim.Cluster, Broker: d.Claim.Name, ID: d.Claim.BrokerID, Addr: d.Claim.Addr,
		Source: d.Claim.Source.String(), By: d.By, SilenceMS: millis(d.Silence), Unanswered: d.Unanswered, Connects: d.Connects,
		Agreed: d.Agreed, Mute: d.Mute, Nodes: d.Nodes, Quorum: d.Quorum,
	}
	switch d.Kind {
	case vanished.Kept:
		v.Why = d.Why.Name()
	case vanished.Evicted:
		if d.Why == vanish.Heir {
			v.Why = d.Why.Name()
		}
	case vanished.Refuted:
		v.Why, v.By = d.By, ""
	}
	return v
}
