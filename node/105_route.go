package node

// GET_ROUTEINFO_BY_TOPIC (105), by every version; standard JSON is asked for by 4.9.4 and later, or by the header. Deviations:
// DEV-7 (standard JSON is kept behind the zone filter), DEV-15 (a node that gossips opens as soon as it holds what its peers
// hold, and the pseudo-topics of member groups are always answered).

import (
	"bytes"
	"strings"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/kvconfig"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

const noRoute = "No topic route info in name server for the topic: "
const seeFAQ = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."

// getRoute answers code 105. A cached route costs no allocation.
func (n *Node) getRoute(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	topic, named := req.Get("topic")
	n.noteAsker(c, topic)
	if !bytes.HasPrefix(topic, []byte(mq.SyncMemberPrefix)) && n.tooEarly(c) {
		// The pseudo-topic is served all the same: an old broker takes any error for an empty group.
		resp.Fail(remoting.SystemError, "name server not ready")
		return
	}
	if !named {
		resp.Fail(remoting.TopicNotExist, noRoute+"null"+seeFAQ)
		return
	}
	standard := req.Version >= mq.V4_9_4
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

// tooEarly says that a connection gets no route yet. One that carried no registration is a client's, and is closed
// behind the answer where that is asked for and another node is ready.
func (n *Node) tooEarly(c *rpc.Conn) bool {
	rule, closing := n.rule(), n.closing && n.elsewhere.Load() && c.Value() == nil
	if !rule.Need && !closing {
		return false // the usual case reads no clock
	}
	if !n.ready.Withholds(n.clock(), rule, closing) {
		return false
	}
	if closing {
		id := c.ID()
		c.AfterFlush(func() { n.server.CloseConn(id, 0, "name server not ready") })
	}
	return true
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
