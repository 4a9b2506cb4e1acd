package admin

import (
	"net/http"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/node/addresses"
)

// addressLists answers what brokers and clients are told.
func (h *Server) addressLists(w http.ResponseWriter, _ *http.Request) {
	texts := func(list addresses.Addrs) []string {
		all := make([]string, len(list))
		for i, one := range list {
			all[i] = one.String()
		}
		return all
	}
	status, on := h.view.Addresses()
	a := api.Addresses{Asked: thisMoment().asked(), On: on, Clients: texts(status.Clients), Brokers: texts(status.Brokers), Still: status.Still}
	for _, one := range status.LeftOut {
		a.LeftOut = append(a.LeftOut, api.LeftOut{Member: one.Name, Why: one.Why})
	}
	for _, one := range status.Conflicts {
		a.Conflicts = append(a.Conflicts, api.AddressConflict{Addr: one.Addr.String(), Members: one.Names})
	}
	writeJSON(w, http.StatusOK, a)
}
