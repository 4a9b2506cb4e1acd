package survey

import (
	"slices"
	"strings"
	"sync"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting/body"
)

// What is remembered of a topic.
const (
	topicServed   = 1 << iota // it has a queue at a broker with a master
	topicWritable             // one of those can be written to
	topicUneven               // masters have other numbers of queues
)

// permCount is how many topics of one broker there are at one NameServer, and how many may be written to.
type permCount struct{ topics, writable int }

type brokerAt struct {
	server int
	broker string
}

// topicStats is what is concluded from routes, small whatever their number.
type topicStats struct {
	mu      sync.Mutex // guards the following fields
	names   []string
	state   []uint8
	served  []bits // by NameServer: topics that have a queue there
	perms   map[brokerAt]*permCount
	orders  map[string]map[string]int32 // of topics with an order configuration: writable queues by broker; nil: no route was seen
	masters map[string]bool             // brokers that have one, at any NameServer
	own     map[string]bool             // names of clusters and brokers, which are topics, too
}

func (s *topicStats) begin(t *topics, views []*View) {
	s.names, s.state, s.served = t.names, make([]uint8, len(t.names)), make([]bits, len(views))
	s.perms, s.orders, s.masters, s.own = map[brokerAt]*permCount{}, map[string]map[string]int32{}, map[string]bool{}, map[string]bool{}
	for _, v := range views {
		for _, g := range v.Groups {
			s.own[g.Cluster], s.own[g.Broker] = true, true
			if len(g.Addrs) > 0 && g.Addrs[0].ID == 0 {
				s.masters[g.Broker] = true
			}
		}
		for subject := range v.Facts {
			if subject.Kind == KindOrder {
				s.orders[subject.Topic] = nil
			}
		}
	}
}

// ownTopics are names of topics that RocketMQ makes for itself (TopicValidator and what brokers create at their start).
var ownTopics = []string{
	"TBW102", "SCHEDULE_TOPIC_XXXX", "BenchmarkTest", "SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT", "CHECKPOINT_TOPIC",
	"RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRACE_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC",
}

// isOwn says that a topic is RocketMQ's, not somebody's.
func (s *topicStats) isOwn(topic string) bool {
	for _, prefix := range []string{"%RETRY%", "%DLQ%", "rmq_sys_", "RMQ_SYS_", "CID_RMQ_SYS_", mq.SyncMemberPrefix} {
		if strings.HasPrefix(topic, prefix) {
			return true
		}
	}
	return slices.Contains(ownTopics, topic) || s.own[topic] || strings.HasSuffix(topic, "_REPLY_TOPIC")
}

// saw takes note of a route.
func (s *topicStats) saw(server, topic int, name string, r *body.TopicRoute) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.isOwn(name)
	if len(r.Queues) > 0 {
		s.served[server].add(topic)
	}
	of, ordered := s.orders[name]
	if ordered && of == nil {
		of = map[string]int32{}
		s.orders[name] = of
	}
	first := -1
	for i := range r.Queues {
		q := &r.Queues[i]
		if q.Perm&6 != 0 {
			key := brokerAt{server, q.BrokerName}
			if s.perms[key] == nil {
				s.perms[key] = &permCount{}
			}
			s.perms[key].topics++
			if q.Perm&2 != 0 {
				s.perms[key].writable++
			}
		}
		if ordered {
			of[q.BrokerName] = q.WriteQueueNums
		}
		if own || !s.masters[q.BrokerName] {
			continue
		}
		s.state[topic] |= topicServed
		if q.Perm&2 != 0 && q.WriteQueueNums > 0 {
			s.state[topic] |= topicWritable
		}
		if first >= 0 && (r.Queues[first].ReadQueueNums != q.ReadQueueNums || r.Queues[first].WriteQueueNums != q.WriteQueueNums) {
			s.state[topic] |= topicUneven
		}
		if first < 0 {
			first = i
		}
	}
}

// knows says that it is known who serves a topic with an order configuration: its route was seen, or nobody lists it.
func (s *topicStats) knows(ordered string) bool {
	return s.orders[ordered] != nil || len(s.names) > 0 && !slices.Contains(s.names, ordered)
}

// with are the topics whose state has some bits and lacks others, sorted.
func (s *topicStats) with(set, clear uint8) (names []string) {
	for i, state := range s.state {
		if state&set == set && state&clear == 0 {
			names = append(names, s.names[i])
		}
	}
	slices.Sort(names)
	return names
}
