package node

// Lists of topics: GET_ALL_TOPIC_LIST_FROM_NAMESERVER (206), GET_TOPICS_BY_CLUSTER (224), GET_SYSTEM_TOPIC_LIST_FROM_NS (304),
// GET_UNIT_TOPIC_LIST (311), GET_HAS_UNIT_SUB_TOPIC_LIST (312) and GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST (313), by every version.
// No deviation.

import (
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// allTopics answers code 206.
func (n *Node) allTopics(_ *rpc.Conn, _ *remoting.Request, resp *remoting.Response) {
	if !n.runtime.Options().EnableAllTopicList {
		resp.Fail(remoting.SystemError, "disable")
		return
	}
	answerTopics(resp, n.table.Topics())
}

// topicsByCluster answers code 224; a cluster that nobody knows has no topics.
func (n *Node) topicsByCluster(_ *rpc.Conn, req *remoting.Request, resp *remoting.Response) {
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

// unitTopics answers codes 311, 312 and 313, each with the topics of one kind.
func unitTopics(kind routes.TopicKind) handler {
	return func(n *Node, _ *rpc.Conn, _ *remoting.Request, resp *remoting.Response) {
		if !n.runtime.Options().EnableTopicList {
			resp.Fail(remoting.SystemError, "disable")
			return
		}
		answerTopics(resp, n.table.TopicsOfKind(kind))
	}
}

// systemTopics answers code 304: not the system topics, but where to ask for them. No option turns it off.
func (n *Node) systemTopics(_ *rpc.Conn, _ *remoting.Request, resp *remoting.Response) {
	names, addr := n.table.SystemTopics()
	resp.Body = body.AppendTopicList(nil, &body.TopicList{Topics: names, BrokerAddr: addr})
}

func answerTopics(resp *remoting.Response, topics []string) {
	resp.Body = body.AppendTopicList(nil, &body.TopicList{Topics: topics})
}
