package admin

import (
	"context"
	"net"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/routes"
)

const (
	reachEvery = time.Second             // between two tries, whoever asks for them
	reachWait  = 1500 * time.Millisecond // for one's turn: beyond it somebody else asks for as many
	reachTime  = 3 * time.Second         // for the address to take a connection
)

func newReaches() *rate.Limiter { return rate.NewLimiter(rate.Every(reachEvery), 1) }

// reach tries whether an address takes connections from here, and sends nothing over them. It makes the node act towards
// others, so only an address at which a broker is registered is tried, one a second, and on the socket alone.
func (h *Server) reach(w http.ResponseWriter, r *http.Request) {
	addr := r.URL.Query().Get("addr")
	if addr == "" {
		writeJSON(w, http.StatusBadRequest, api.Error{Error: "addr: missing; POST to /v1/reach?addr=HOST:PORT"})
		return
	}
	if !slices.ContainsFunc(h.view.Table().Registrations(), func(one routes.Record) bool { return one.Addr == addr }) {
		writeJSON(w, http.StatusConflict, api.Error{Error: "no broker is registered here at that address, and no other is tried"})
		return
	}
	turn, cancel := context.WithTimeout(r.Context(), reachWait)
	defer cancel()
	if err := h.reaches.Wait(turn); err != nil {
		writeJSON(w, http.StatusTooManyRequests, api.Error{Error: "one address a second is tried, and others ask for it, too; ask again"})
		return
	}
	a := api.Reached{Node: h.view.Identity().Name, Addr: addr}
	began := time.Now()
	d := net.Dialer{Timeout: reachTime}
	c, err := d.DialContext(r.Context(), "tcp", addr)
	if a.TookMS = millis(time.Since(began)); err == nil {
		a.Reached = true
		c.Close()
	} else {
		a.Why = err.Error()
	}
	writeJSON(w, http.StatusOK, a)
}
