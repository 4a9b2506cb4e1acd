package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Request codes that the tests send by themselves.
const (
	codeRoute   = 105
	codeCluster = 106
	codeTopics  = 206
	codeMembers = 901
)

// call sends one request on a connection of its own. The error is only what kept it from an answer.
func call(addr string, code int, ext map[string]string) (*kit.Answer, error) {
	return kit.Ask(addr, kit.Request{Code: code, Ext: ext})
}

// route is the part of a topic's route that the tests look at.
type route struct {
	QueueDatas []struct {
		BrokerName     string `json:"brokerName"`
		ReadQueueNums  int    `json:"readQueueNums"`
		WriteQueueNums int    `json:"writeQueueNums"`
		Perm           int    `json:"perm"`
	} `json:"queueDatas"`
	BrokerDatas []struct {
		Cluster     string            `json:"cluster"`
		BrokerName  string            `json:"brokerName"`
		BrokerAddrs map[string]string `json:"brokerAddrs"`
	} `json:"brokerDatas"`
	TopicQueueMappingByBroker map[string]json.RawMessage `json:"topicQueueMappingByBroker"`
}

var errNoRoute = errors.New("no route")

// routeOf asks for a topic in the standard dialect. The error is errNoRoute for code 17.
func routeOf(addr, topic string) (route, error) {
	var r route
	a, err := call(addr, codeRoute, map[string]string{"topic": topic, "acceptStandardJsonOnly": "true"})
	if err == nil && a.Code == 17 {
		return r, errNoRoute
	}
	if err := a.Decode(err, &r); err != nil {
		return r, fmt.Errorf("route of %s: %w", topic, err)
	}
	return r, nil
}

// addrs is the address table of a broker name in the route, as "id=addr" sorted by id; empty when it is not there.
func (r route) addrs(broker string) []string {
	for _, b := range r.BrokerDatas {
		if b.BrokerName == broker {
			return sortedAddrs(b.BrokerAddrs)
		}
	}
	return nil
}

// perm is the permission of a broker's queues, -1 when the route has none.
func (r route) perm(broker string) int {
	for _, q := range r.QueueDatas {
		if q.BrokerName == broker {
			return q.Perm
		}
	}
	return -1
}

func sortedAddrs(table map[string]string) []string {
	var list []string
	for id, addr := range table {
		list = append(list, id+"="+addr)
	}
	slices.Sort(list)
	return list
}

// members is the address table that code 106 shows for a broker name, as "id=addr" sorted by id.
func members(addr, broker string) ([]string, error) {
	a, err := kit.Ask(addr, kit.ClusterInfo)
	all, err := a.Brokers(err)
	return sortedAddrs(all[broker]), err
}

// topics is the list of all topics.
func topics(addr string) ([]string, error) {
	var body struct{ TopicList []string }
	a, err := call(addr, codeTopics, nil)
	err = a.Decode(err, &body)
	slices.Sort(body.TopicList)
	return body.TopicList, err
}

// hasMembers is nil when the broker name has exactly these "id=addr" entries in code 106.
func hasMembers(addr, broker string, want ...string) func() error {
	return func() error {
		got, err := members(addr, broker)
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("members of %s are %v, want %v", broker, got, want)
		}
		return nil
	}
}

// hasTopic is nil when a topic's route has all of these broker names.
func hasTopic(addr, topic string, brokers ...string) func() error {
	return func() error {
		r, err := routeOf(addr, topic)
		if err != nil {
			return err
		}
		for _, b := range brokers {
			if r.addrs(b) == nil || r.perm(b) < 0 {
				return fmt.Errorf("route of %s has no broker %s", topic, b)
			}
		}
		return nil
	}
}

// lacksTopic is nil when a topic has no route.
func lacksTopic(addr, topic string) error {
	_, err := routeOf(addr, topic)
	if err == nil {
		return fmt.Errorf("%s still has a route", topic)
	}
	if !errors.Is(err, errNoRoute) {
		return err
	}
	return nil
}

// entry is one "id=addr".
func entry(id int, addr string) string { return strconv.Itoa(id) + "=" + addr }
