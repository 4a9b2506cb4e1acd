package routes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/tombstone"
)

// route is docs/spec/nameserver.md#route-lookup.
func (w *twin) route(topic string) *Route {
	row, ok := w.t[topic]
	if !ok {
		return nil
	}
	r := &Route{Topic: topic}
	filters := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(row)) {
		r.Queues = append(r.Queues, BrokerQueue{Broker: name, Queue: row[name]})
		b := w.a[name]
		if b == nil {
			continue
		}
		out := w.broker(name)
		for _, m := range out.Members {
			if f := w.f[tombstone.Key{Cluster: b.cluster, Addr: m.Addr}]; len(f) > 0 {
				filters[m.Addr] = f
			}
		}
		if _, hasMaster := b.addrs[0]; w.opts.SupportActingMaster && !strings.HasPrefix(topic, "rmq_sys_SYNC_BROKER_MEMBER_") &&
			!hasMaster && b.acting && row[name].Perm&2 == 0 {
			addrs := maps.Clone(b.addrs)
			addrs[0] = addrs[b.min()]
			delete(addrs, b.min())
			out.Members = members(addrs)
		}
		r.Brokers = append(r.Brokers, out)
	}
	if len(r.Brokers) == 0 {
		return nil
	}
	for _, addr := range slices.Sorted(maps.Keys(filters)) {
		r.Filters = append(r.Filters, FilterServers{Addr: addr, Servers: filters[addr]})
	}
	byBroker := map[string]any{}
	for _, m := range w.m[topic] {
		byBroker[m.name] = m.info
	}
	r.HasMappings = len(byBroker) > 0
	for _, name := range slices.Sorted(maps.Keys(byBroker)) {
		r.Mappings = append(r.Mappings, BrokerMapping{Broker: name, Info: byBroker[name]})
	}
	return r
}

func members(addrs map[int64]string) (list []Member) {
	for _, id := range slices.Sorted(maps.Keys(addrs)) {
		list = append(list, Member{ID: id, Addr: addrs[id]})
	}
	return list
}

func (w *twin) broker(name string) Broker {
	b := w.a[name]
	return Broker{Cluster: b.cluster, Name: name, Members: members(b.addrs), Zone: b.zone, Acting: b.acting}
}

func (w *twin) clusterInfo() (info ClusterInfo) {
	for _, name := range slices.Sorted(maps.Keys(w.a)) {
		info.Brokers = append(info.Brokers, w.broker(name))
	}
	for _, c := range slices.Sorted(maps.Keys(w.c)) {
		info.Clusters = append(info.Clusters, Cluster{Name: c, Brokers: slices.Sorted(maps.Keys(w.c[c]))})
	}
	return info
}

func (w *twin) topicsOfCluster(cluster string) []string {
	set := map[string]bool{}
	for name := range w.c[cluster] {
		for topic, row := range w.t {
			if _, ok := row[name]; ok {
				set[topic] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// registrations tells, line by line, what can be known of L.
func (w *twin) registrations() []string {
	var lines []string
	for key, e := range w.l {
		if !e.gone {
			first, _ := e.shows()
			lines = append(lines, fmt.Sprint(key, e.name, e.id, e.seen, first.reg, e.timeout, e.data, first.owner.ID, e.ha,
				len(w.keeps(key)) == 0))
		}
	}
	slices.Sort(lines)
	return lines
}
