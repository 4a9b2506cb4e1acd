package admin

import (
	"net/http"

	"github.com/epitaph-mq/epitaph/api"
)

// forceLeave takes a failed member off the lists of all members. It is the only request that changes anything, and
// changes nothing about brokers.
func (h *Server) forceLeave(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	switch {
	case name == "":
		writeJSON(w, http.StatusBadRequest, api.Error{Error: "name: missing; POST to /v1/force-leave?name=MEMBER"})
	case h.view.Departures() == nil:
		writeJSON(w, http.StatusConflict, api.Error{Error: "this node gossips with nobody, so there is no member to force-leave"})
	default:
		if err := h.view.Departures().Gossip().ForceLeave(name); err != nil {
			writeJSON(w, http.StatusConflict, api.Error{Error: err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, api.Forgotten{Forgotten: name})
	}
}
