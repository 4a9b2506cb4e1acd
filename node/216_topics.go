package node

// DELETE_TOPIC_IN_NAMESRV (216), by every version, and REGISTER_TOPIC_IN_NAMESRV (217), by 5.0.0 and later. Deviations: DEV-17 (names have
// a limit), DEV-18 (with --admin-from, who is no admin can add topics to his own brokers only).

import (
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// deleteTopic handles code 216, which is always answered with 0. Without a cluster, the topic goes altogether.
func (n *Node) deleteTopic(c *rpc.Conn, req *remoting.Request, _ *remoting.Response) {
	topic, named := req.Str("topic")
	cluster, _ := req.Str("clusterName")
	if named {
		n.applyBy(c, n.table.DeleteTopic(topic, cluster))
	}
}

// The body of a 217, in bytes: of up to so many it does not matter what they become, and of more one becomes so many at most:
// three make a queue setting, in a list that doubles.
const (
	usualTopics = 4 << 10
	grownTopics = 40
)

// registerTopic handles code 217: queue settings of brokers that are known.
func (n *Node) registerTopic(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	var route *body.TopicRoute
	var err error
	if len(req.Body) > usualTopics && !c.Charge(int64(grownTopics*len(req.Body))) {
		return
	}
	if req.Body != nil {
		route, err = body.DecodeTopicRoute(req.Body)
	}
	if !n.isAdmin(c) && !n.ownsAll(c, route) {
		n.refuse(c, req, resp)
		return
	}
	if err != nil {
		failed(resp, "decode topic route: "+err.Error())
		return
	}
	topic, named := req.Str("topic")
	if !named || route == nil || len(route.Queues) == 0 {
		return
	}
	if len(topic) > body.MaxName {
		failed(resp, "topic"+overlong)
		return
	}
	queues := make([]routes.TopicQueue, len(route.Queues))
	for i, q := range route.Queues {
		queues[i] = routes.TopicQueue{
			Broker: mq.Some(q.BrokerName),
			Queue:  routes.Queue{Read: q.ReadQueueNums, Write: q.WriteQueueNums, Perm: q.Perm, SysFlag: q.TopicSysFlag},
		}
	}
	eff, room := n.table.RegisterTopics(topic, queues, n.tableLimit(c, func() bool { return n.ownsAll(c, route) }))
	if !room {
		n.refuseGrowth(c, route.Queues[0].BrokerName)
		return
	}
	n.applyBy(c, eff)
}

// ownsAll says that each broker in the list is the sender's own, and that there is one: brokers with enableSingleTopicRegister
// tell of their topics so.
func (n *Node) ownsAll(c *rpc.Conn, route *body.TopicRoute) bool {
	if route == nil || len(route.Queues) == 0 {
		return false
	}
	for _, q := range route.Queues {
		if !n.table.Claims(c.Source(), q.BrokerName) {
			return false
		}
	}
	return true
}
