package node

import (
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/routes"
)

// This file is the only one that sees both the wire's bodies and the tables' types.

func wireMembers(members []routes.Member) []body.BrokerAddr {
	addrs := make([]body.BrokerAddr, len(members))
	for i, m := range members {
		addrs[i] = body.BrokerAddr{ID: m.ID, Addr: m.Addr}
	}
	return addrs
}

func wireBroker(b *routes.Broker) body.BrokerData {
	return body.BrokerData{
		Cluster: b.Cluster, BrokerName: b.Name, Addrs: wireMembers(b.Members),
		ZoneName: b.Zone, EnableActingMaster: b.Acting,
	}
}

func wireBrokers(brokers []routes.Broker) []body.BrokerData {
	all := make([]body.BrokerData, len(brokers))
	for i := range brokers {
		all[i] = wireBroker(&brokers[i])
	}
	return all
}

func wireRoute(r *routes.Route) *body.TopicRoute {
	w := &body.TopicRoute{
		OrderTopicConf: r.Order,
		Queues:         make([]body.QueueData, len(r.Queues)),
		Brokers:        wireBrokers(r.Brokers),
		HasMappings:    r.HasMappings,
	}
	for i, q := range r.Queues {
		w.Queues[i] = body.QueueData{
			BrokerName: q.Broker, ReadQueueNums: q.Read, WriteQueueNums: q.Write, Perm: q.Perm, TopicSysFlag: q.SysFlag,
		}
	}
	for _, f := range r.Filters {
		w.FilterServers = append(w.FilterServers, body.FilterServers{Addr: f.Addr, Servers: f.Servers})
	}
	for _, m := range r.Mappings {
		w.Mappings = append(w.Mappings, body.BrokerMapping{BrokerName: m.Broker, Mapping: m.Info.(body.Mapping)})
	}
	return w
}

func wireClusterInfo(info routes.ClusterInfo) *body.ClusterInfo {
	w := &body.ClusterInfo{Brokers: wireBrokers(info.Brokers)}
	for _, c := range info.Clusters {
		w.Clusters = append(w.Clusters, body.ClusterMembers{Cluster: c.Name, Brokers: c.Brokers})
	}
	return w
}

// tableBody fills in what a register body says. Topic names go on aliasing the body: the tables copy what they keep.
func tableBody(r *routes.Registration, reg *body.Register, topics []routes.Topic) []routes.Topic {
	for i := range reg.Topics {
		t := &reg.Topics[i]
		topics = append(topics, routes.Topic{
			Name: t.Name, Key: t.Key,
			Queue: routes.Queue{
				Read: t.ReadQueueNums, Write: t.WriteQueueNums, Perm: t.Perm, SysFlag: t.TopicSysFlag,
			},
		})
	}
	// An explicit null in place of the wrapper or of its table says nothing about topics.
	r.HasTopics = reg.Wrapper != body.Null && reg.TopicTable != body.Null
	r.Topics = topics
	r.DataVersion = reg.Version
	r.FreshVersion = reg.TimestampAbsent
	for i := range reg.Mappings {
		// A mapping without a broker name has no place in the table; the original fails on it half-way.
		if m := &reg.Mappings[i]; m.Mapping.Bname.Valid {
			r.Mappings = append(r.Mappings,
				routes.Mapping{Topic: m.Topic, Broker: m.Mapping.Bname.S, Info: m.Mapping})
		}
	}
	r.Filters.Valid = reg.Filters != body.Null
	for _, s := range reg.FilterServers {
		if s != nil {
			r.Filters.Servers = append(r.Filters.Servers, string(s))
		}
	}
	return topics
}
