package node

// DELETE_TOPIC_IN_NAMESRV (216), by every version, and REGISTER_TOPIC_IN_NAMESRV (217), by 5.0.0 and later. Deviation: DEV-17 (names have
// a limit).

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

// registerTopic handles code 217: queue settings of brokers that are known.
func (n *Node) registerTopic(c *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
	if req.Body == nil {
		return
	}
	route, err := body.DecodeTopicRoute(req.Body)
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
	n.applyBy(c, n.table.RegisterTopics(topic, queues))
}
