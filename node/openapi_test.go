package node

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// What a node answers is what is described: every path, good and bad parameters, with a broker, a tombstone and a
// conflict there to be shown.
func TestOpenAPIAgainstTheAnswers(t *testing.T) {
	nodes := startClusterWith(t, 2, withHTTP)
	n := nodes[0]
	second, conflict := brokerHeader("0"), brokerHeader("0")
	conflict["clusterName"] = "C2"
	second["brokerName"], second["brokerAddr"] = "b1", "1.1.1.2:10911"
	registerAt(t, brokerHeader("0"), nodes...)
	registerAt(t, conflict, nodes...)
	conns := registerAt(t, second, nodes...)
	ask(t, conns[1], remoting.UnregisterBroker, second, "")
	kit.Until(t, "a decision on what the other node told", func() bool { return len(n.Tombstones(10).Decisions) > 0 })
	// Something of everything that differs, to be shown.
	ask(t, conns[0], remoting.PutKVConfig, map[string]string{"namespace": "N", "key": "k", "value": "v"}, "")
	third := brokerHeader("0")
	third["brokerName"], third["brokerAddr"] = "b3", "1.1.1.3:10911"
	ask(t, conns[0], remoting.RegisterBroker, third, twoTopics)
	kit.Until(t, "a difference and a drift", func() bool {
		v := admin.Diff(t.Context(), view{n}, 10, "")
		return len(v.Brokers) > 0 && len(v.Drifts) > 0
	})
	text, err := api.OpenAPI.Unpack()
	kit.Must(t, err)
	loaded, err := openapi3.NewLoader().LoadFromData([]byte(text))
	kit.Must(t, err)
	loaded.Servers = openapi3.Servers{{URL: "http://" + n.HTTPAddr().String()}}
	router, err := gorillamux.NewRouter(loaded)
	kit.Must(t, err)
	seen := map[string]bool{}
	for _, one := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/readyz", 200}, {"GET", "/metrics", 200}, {"GET", "/v1/openapi.json", 200},
		{"GET", "/v1/members", 200}, {"GET", "/v1/load", 200}, {"GET", "/v1/tombstones", 200}, {"GET", "/v1/brokers", 200},
		{"GET", "/v1/diff?broker=b0", 200}, {"GET", "/v1/diff?limit=0", 400}, {"GET", "/v1/conflicts", 200}, {"GET", "/v1/brokers?limit=0", 400}, {"GET", "/v1/tombstones?limit=x", 400},
		{"GET", "/v1/conflicts?limit=1", 200}, {"GET", "/v1/routes?topic=TA", 200}, {"GET", "/v1/routes?topic=TX", 404},
		{"GET", "/v1/routes", 400}, {"POST", "/v1/force-leave", 400}, {"POST", "/v1/force-leave?name=nobody", 409},
		{"POST", "/v1/force-leave?name=nobody", 403}, {"POST", "/v1/drain", 403}, {"POST", "/v1/drain", 200}, {"GET", "/v1/drain", 200},
		{"POST", "/v1/undrain", 200}, {"POST", "/v1/undrain", 403}, {"GET", "/v1/safe-to-stop?ignore=b0", 200}, {"GET", "/v1/addresses", 200},
		{"POST", "/v1/reach", 400}, {"POST", "/v1/reach?addr=1.1.1.9:10911", 409}, {"POST", "/v1/reach?addr=1.1.1.3:10911", 403},
		{"POST", "/v1/safe-to-stop", 200}, {"POST", "/v1/safe-to-stop", 403},
		{"GET", "/v1/vanished", 200}, {"GET", "/v1/vanished?limit=x", 400}, {"GET", "/v1/vanished?broker=b3", 200}, {"GET", "/v1/vanished?broker=nobody", 404},
		{"POST", "/v1/vanished", 400}, {"POST", "/v1/vanished?broker=nobody", 404}, {"POST", "/v1/vanished?broker=b3", 200}, {"POST", "/v1/vanished?broker=b3", 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), one.method, "http://"+n.HTTPAddr().String()+one.path, nil)
		kit.Must(t, err)
		route, params, err := router.FindRoute(req)
		if err != nil {
			t.Errorf("%s %s: %v", one.method, one.path, err)
			continue
		}
		seen[route.Path] = true
		handler := n.admin.SocketHandler()
		if one.status == http.StatusForbidden {
			handler = n.admin.Handler()
		}
		resp := asked(handler, one.method, one.path).Result()
		if resp.StatusCode != one.status {
			t.Errorf("%s %s: %d, want %d", one.method, one.path, resp.StatusCode, one.status)
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		contentType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		resp.Header.Set("Content-Type", contentType)
		answer := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
			Status:                 resp.StatusCode, Header: resp.Header,
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}
		if err := openapi3filter.ValidateResponse(t.Context(), answer.SetBodyBytes(body.Bytes())); err != nil {
			t.Errorf("%s %s: %v\n%s", one.method, one.path, err, body.String())
		}
	}
	for path := range loaded.Paths.Map() {
		if !seen[path] {
			t.Errorf("%s was not asked", path)
		}
	}
}
