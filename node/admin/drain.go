package admin

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/node/addresses"
)

// Drain is how far a node is that lets its clients go.
type Drain struct {
	On      bool
	For     time.Duration // since it began
	Asked   bool          // a client has asked for a route since
	Unasked time.Duration // since a client did; since it began, where none did
	Quiet   bool          // that is long enough (--drain-quiet): nobody is left who would miss the node
}

// String is what is said behind "draining".
func (d Drain) String() string {
	asked := "no client has asked for a route since"
	if d.Asked {
		asked = fmt.Sprintf("a client asked for a route %d s ago", int(d.Unasked.Seconds()))
	}
	return fmt.Sprintf(" (for %d s; %s)", int(d.For.Seconds()), asked)
}

// drainState answers how far a drain is.
func (h *Server) drainState(w http.ResponseWriter, _ *http.Request) {
	d := h.view.Draining()
	a := api.Drain{Draining: d.On, ForMS: millis(d.For), UnaskedMS: millis(d.Unasked), Quiet: d.Quiet}
	writeJSON(w, http.StatusOK, a)
}

// setDrain lets clients go, or takes them again.
func (h *Server) setDrain(on bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h.view.SetDrain(on); err != nil {
			writeJSON(w, http.StatusConflict, api.Error{Error: err.Error()})
			return
		}
		h.drainState(w, r)
	}
}

// safeToStop answers whether the other nodes have all that this one has. wishes: it is to be stopped, so of several that ask so at the
// same time one is let go.
func (h *Server) safeToStop(w http.ResponseWriter, r *http.Request, wishes bool) {
	query := r.URL.Query()
	stop := addresses.Stop{Ignored: query["ignore"], AnyKV: query.Get("ignore_kv") == "true", Wishes: wishes}
	d := h.view.Departures()
	if d != nil {
		if wishes {
			d.Gossip().Wish()
		}
		stop.Members = d.Gossip().AllMembers()
		stop.Digests, _ = d.Gossip().Digests()
	}
	if status, on := h.view.Addresses(); on {
		stop.Lists = &status.View
	}
	a := api.SafeToStop{}
	a.Reasons, a.Settled = stop.Reasons()
	if wishes && d != nil && len(a.Reasons) == 0 {
		if may, before := d.Gossip().Turn(); len(before) > 0 {
			a.Reasons, a.Settled = []string{"to be stopped before this node, or not heard yet: " + strings.Join(before, ", ")}, false
		} else if !may {
			a.Reasons, a.Settled = []string{"others that are to be stopped are being heard"}, false
		}
	}
	if a.Safe = len(a.Reasons) == 0; a.Safe {
		a.Reasons = []string{}
	}
	writeJSON(w, http.StatusOK, a)
}
