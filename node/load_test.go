package node

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestLoad(t *testing.T) {
	n := startNode(t, withHTTP)
	c := dial(t, n)
	ask(t, c, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	for range 128 {
		ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, "")
	}
	var l api.Load
	kit.Until(t, "the last request to be timed", func() bool {
		getJSON(t, n, "/v1/load", &l)
		return len(l.Requests) == 2 && l.Requests[0].Timed == 1 && l.Requests[1].Timed == 2
	})
	register, route := l.Requests[0], l.Requests[1]
	if register.Code != 103 || register.Count != 1 || route.Name != "GET_ROUTEINFO_BY_TOPIC" || route.Count != 128 {
		t.Errorf("requests: %+v", l.Requests)
	}
	if l.Connections != 1 || l.Registrations != 1 || l.Topics != 2 || l.ReceivedBytes == 0 || l.SentBytes == 0 || !l.Ready || l.UpMS <= 0 {
		t.Errorf("load: %+v", l)
	}
	if diff := cmp.Diff(1, len(register.Times)); diff != "" || register.Times[0].Below <= 0 {
		t.Errorf("times: %+v", register.Times)
	}
}
