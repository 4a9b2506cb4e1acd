package node

import (
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/routes"
)

// deleteTopic handles code 216, which is always answered with 0. Without a cluster, the topic goes altogether.
func (n *Node) deleteTopic(req *remoting.Request) {
	topic, named := req.Str("topic")
	cluster, _ := req.Str("clusterName")
	if named {
		n.apply(n.table.DeleteTopic(topic, cluster))
	}
}

// registerTopic handles code 217: queue settings of brokers that are known.
func (n *Node) registerTopic(req *remoting.Request, resp *remoting.Response) {
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
	queues := make([]routes.TopicQueue, len(route.Queues))
	for i, q := range route.Queues {
		queues[i] = routes.TopicQueue{
			Broker: routes.Some(q.BrokerName),
			Queue:  routes.Queue{Read: q.ReadQueueNums, Write: q.WriteQueueNums, Perm: q.Perm, SysFlag: q.TopicSysFlag},
		}
	}
	n.apply(n.table.RegisterTopics(topic, queues))
}

// allTopics answers code 206.
func (n *Node) allTopics(resp *remoting.Response) {
	if !n.runtime.Options().EnableAllTopicList {
		resp.Fail(remoting.SystemError, "disable")
		return
	}
	answerTopics(resp, n.table.Topics())
}

// topicsByCluster answers code 224; a cluster that nobody knows has no topics.
func (n *Node) topicsByCluster(req *remoting.Request, resp *remoting.Response) {
	if !n.runtime.Options().EnableTopicList {
		resp.Fail(remoting.SystemError, "disable")
		return
	}
	var topics []string
	if cluster, named := req.Str("cluster"); named {
		topics = n.table.TopicsOfCluster(cluster)
	}
	answerTopics(resp, topics)
}

// unitTopics answers codes 311, 312 and 313.
func (n *Node) unitTopics(code int32, resp *remoting.Response) {
	if !n.runtime.Options().EnableTopicList {
		resp.Fail(remoting.SystemError, "disable")
		return
	}
	kind := routes.UnitTopics
	switch code {
	case remoting.GetHasUnitSubTopicList:
		kind = routes.UnitSubscribed
	case remoting.GetHasUnitSubUnunitTopics:
		kind = routes.UnitSubscribedNonUnits
	}
	answerTopics(resp, n.table.TopicsOfKind(kind))
}

// systemTopics answers code 304: not the system topics, but where to ask for them. No option turns it off.
func (n *Node) systemTopics(resp *remoting.Response) {
	names, addr := n.table.SystemTopics()
	resp.Body = body.AppendTopicList(nil, &body.TopicList{Topics: names, BrokerAddr: wireOpt(addr)})
}

func answerTopics(resp *remoting.Response, topics []string) {
	resp.Body = body.AppendTopicList(nil, &body.TopicList{Topics: topics})
}
