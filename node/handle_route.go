package node

import (
	"bytes"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/node/kvconfig"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/routes"
)

// syncTopicPrefix marks the pseudo-topic by which brokers in compatible mode read their member group
// (TopicValidator.SYNC_BROKER_MEMBER_GROUP_PREFIX).
const syncTopicPrefix = "rmq_sys_SYNC_BROKER_MEMBER_"

// standardJSONVersion is V4_9_4: from there on a client reads quoted numeric keys.
const standardJSONVersion = 401

const noRoute = "No topic route info in name server for the topic: "
const seeFAQ = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."

// getRoute answers code 105. A cached route costs no allocation.
func (n *Node) getRoute(req *remoting.Request, resp *remoting.Response) {
	topic, named := req.Get("topic")
	if o := n.runtime.Options(); o.NeedWaitForService && n.waiting(o) &&
		!bytes.HasPrefix(topic, []byte(syncTopicPrefix)) {
		// The pseudo-topic is served all the same: an old broker takes any error for an empty group.
		resp.Fail(remoting.SystemError, "name server not ready")
		return
	}
	if !named {
		resp.Fail(remoting.TopicNotExist, noRoute+"null"+seeFAQ)
		return
	}
	standard := req.Version >= standardJSONVersion
	if !standard {
		standard, _ = req.Bool("acceptStandardJsonOnly")
	}
	var found bool
	if zone, filter := zoneOf(req); filter {
		resp.Body, found = n.zoneRoute(topic, zone, standard)
	} else {
		resp.Body, found = n.table.Route(topic, standard)
	}
	if !found {
		resp.Fail(remoting.TopicNotExist, noRoute+string(topic)+seeFAQ)
	}
}

// waiting says that the node has not yet served for waitSecondsForService.
func (n *Node) waiting(o *Options) bool {
	return n.clock().Sub(n.started) < time.Duration(o.WaitSecondsForService)*time.Second
}

// zoneOf says whether a client wants only the brokers of its zone (ZoneRouteRPCHook).
func zoneOf(req *remoting.Request) (zone string, filter bool) {
	if on, _ := req.Bool("__ZONE_MODE"); !on {
		return "", false
	}
	zone, _ = req.Str("__ZONE_NAME")
	return zone, strings.TrimSpace(zone) != ""
}

func (n *Node) zoneRoute(topic []byte, zone string, standard bool) ([]byte, bool) {
	r, found := n.table.RouteInfo(topic)
	if !found {
		return nil, false
	}
	return encodeRoute(nil, r.InZone(zone), standard), true
}

// orderConf is asked by the tables whenever a route is made.
func (n *Node) orderConf(topic string) (string, bool) {
	if !n.runtime.Options().OrderMessageEnable {
		return "", false
	}
	return n.kv.Get(kvconfig.OrderTopicConfig, topic)
}

// encodeRoute is the routes.Encoder.
func encodeRoute(dst []byte, r *routes.Route, standard bool) []byte {
	dialect := body.Default
	if standard {
		dialect = body.Standard
	}
	return body.AppendTopicRoute(dst, wireRoute(r), dialect)
}
