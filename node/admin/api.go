package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/routes"
)

// How many entries an answer has at most, and unless ?limit= says otherwise.
const (
	apiLimitMax     = 100_000
	apiLimitDefault = 1_000
)

func (h *Server) routeAPI(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/members", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, Members(h.view))
	})
	limited := func(path string, view func(limit int) any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			limit, err := limitOf(r)
			if err != "" {
				writeJSON(w, http.StatusBadRequest, api.Error{Error: err})
				return
			}
			writeJSON(w, http.StatusOK, view(limit))
		})
	}
	mux.HandleFunc("GET /v1/load", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, h.load()) })
	mux.HandleFunc("GET /v1/openapi.json", serveOpenAPI)
	mux.HandleFunc("GET /v1/drain", h.drainState)
	mux.HandleFunc("GET /v1/addresses", h.addressLists)
	mux.HandleFunc("GET /v1/safe-to-stop", func(w http.ResponseWriter, r *http.Request) { h.safeToStop(w, r, false) })
	limited("/v1/tombstones", func(limit int) any { return Tombstones(h.view, limit) })
	mux.HandleFunc("GET /v1/vanished", h.vanished)
	limited("/v1/brokers", func(limit int) any { return Brokers(h.view, limit) })
	limited("/v1/conflicts", func(limit int) any { return h.counts.conflicts.list(limit) })
	mux.HandleFunc("GET /v1/routes", h.route)
	mux.HandleFunc("GET /v1/diff", h.serveDiff)
}

func limitOf(r *http.Request) (limit int, fault string) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return apiLimitDefault, ""
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > apiLimitMax {
		return 0, "limit: want a number from 1 to " + strconv.Itoa(apiLimitMax)
	}
	return limit, ""
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left is no fault
}

// moment is when an answer is made, by both clocks. Times in it are told by the wall clock of that moment, however it was set
// since they were, so that they are as long ago as it seems.
type moment struct {
	wall  time.Time
	stamp clock.Stamp
}

func thisMoment() moment { return moment{time.Now(), clock.Now()} }

func (m moment) asked() api.Asked { return api.Asked{Now: m.wall.Round(time.Millisecond)} }

// ago is the time d before it.
func (m moment) ago(d time.Duration) time.Time { return m.wall.Add(-d).Round(time.Millisecond) }

// of is a time of this process, as time.Now answered it.
func (m moment) of(t time.Time) time.Time { return m.ago(m.wall.Sub(t)) }

// at is the time of a stamp.
func (m moment) at(s clock.Stamp) time.Time { return m.ago(m.stamp.Sub(s)) }

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Members is what /v1/members answers.
func Members(view View) api.Members {
	now := thisMoment()
	v := api.Members{Asked: now.asked(), KV: kvText(view.KVMissing()), Members: []api.Member{}}
	d := view.Departures()
	if d == nil {
		return v
	}
	g := d.Gossip()
	v.Gossip, v.Node, v.Cluster, v.Keys = true, g.Self().Name, d.Cluster(), g.Keys()
	waiting := map[string][2]int{}
	byStream := map[string]bool{}
	for _, m := range g.Status(0).Members {
		key := m.Name + "~" + bootText(m.Boot)
		waiting[key], byStream[key] = [2]int{m.Hints, m.Pulls}, m.ByStream
	}
	for _, m := range g.AllMembers() {
		key := m.Name + "~" + bootText(m.Boot)
		v.Members = append(v.Members, api.Member{
			Name: m.Name, Boot: bootText(m.Boot), Addr: m.Addr, Self: m.Self, Since: now.of(m.Since),
			State: m.State.String(), Phase: m.Phase.String(), Ready: m.Ready, Release: m.Release, AgeMS: millis(m.Age),
			GoneMS: millis(m.Gone), NameServer: m.NameServer, HTTP: m.HTTP,
			RTT: millis(m.RTT), OnlyTCP: byStream[key] || m.OnlyTCP, HintsWaiting: waiting[key][0], PullsWaiting: waiting[key][1],
			KV: kvText(m.KVMissing), Keys: strings.FieldsFunc(m.Keys, func(r rune) bool { return r == ',' }),
		})
	}
	return v
}

func kvText(missing bool) string {
	if missing {
		return "missing"
	}
	return ""
}

// Brokers is what /v1/brokers answers.
func Brokers(view View, limit int) api.Brokers {
	now := thisMoment()
	all := view.Table().Registrations()
	v := api.Brokers{Asked: now.asked(), Total: len(all), Brokers: []api.Broker{}}
	for i := range all[:min(limit, len(all))] {
		v.Brokers = append(v.Brokers, apiBroker(&all[i], now))
	}
	return v
}

func apiBroker(r *routes.Record, now moment) api.Broker {
	silent := now.stamp.Sub(r.LastSeen)
	b := api.Broker{
		Cluster: r.Cluster, Broker: r.Name, ID: r.ID, Addr: r.Addr,
		Version: remoting.VersionText(r.Version), Language: remoting.Language(r.Language).String(),
		DataVersion: api.DataVersion(r.DataVersion), Since: now.at(r.Since), Registered: now.at(r.LastRegister),
		Seen: now.at(r.LastSeen), SeenAgo: millis(silent), Expires: millis(r.Timeout - silent),
		Topics: r.Topics, Superseded: r.Superseded,
	}
	if r.Owner != nil {
		b.Conn, b.Remote = r.Owner.ID, r.Owner.Remote.String()
	}
	if !r.KeptAt.IsZero() {
		b.Kept = &api.Kept{At: now.at(r.KeptAt), Verdict: apiVerdict(r.Kept)}
	}
	return b
}

func (h *Server) route(w http.ResponseWriter, r *http.Request) {
	topic := r.URL.Query().Get("topic")
	if topic == "" {
		writeJSON(w, http.StatusBadRequest, api.Error{Error: "topic: missing; ask for /v1/routes?topic=TOPIC"})
		return
	}
	found, ok := h.view.Table().RouteInfo([]byte(topic))
	if !ok {
		writeJSON(w, http.StatusNotFound, api.Error{Error: "no broker here has the topic " + strconv.Quote(topic)})
		return
	}
	v := api.Route{Topic: topic, Order: found.Order.S, Queues: []api.Queue{}, Brokers: []api.RouteBroker{}}
	for _, q := range found.Queues {
		v.Queues = append(v.Queues, api.Queue{Broker: q.Broker, Read: q.Read, Write: q.Write, Perm: q.Perm, SysFlag: q.SysFlag})
	}
	for _, b := range found.Brokers {
		rb := api.RouteBroker{Cluster: b.Cluster, Broker: b.Name, Zone: b.Zone.S, ActingMaster: b.Acting, Addrs: []api.RouteAddr{}}
		for _, m := range b.Members {
			rb.Addrs = append(rb.Addrs, api.RouteAddr(m))
		}
		v.Brokers = append(v.Brokers, rb)
	}
	writeJSON(w, http.StatusOK, v)
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	text, err := api.OpenAPI.Unpack()
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, api.Error{Error: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, text) // a client that left is no fault
}
