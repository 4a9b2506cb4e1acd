package kit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Fake is a NameServer with tables of its own.
type Fake struct {
	*Script // Change guards the following fields
	tables  sync.Mutex
	Brokers map[string]string            // "CLUSTER/NAME/ID": address
	Topics  map[string]map[string]string // topic: broker: "READ WRITE PERM"
	Orders  map[string]string
	Options map[string]string
}

// NewFake is a NameServer of one release with two brokers and a topic.
func NewFake(t testing.TB, version int, only ...int) *Fake {
	f := &Fake{
		Script:  NewScript(t, version, only...),
		Brokers: map[string]string{"c/a/0": "10.0.0.1:10911", "c/a/1": "10.0.0.2:10911", "c/b/0": "10.0.0.3:10911"},
		Topics:  map[string]map[string]string{"orders": {"a": "8 8 6", "b": "8 8 6"}, "TBW102": {"a": "8 8 7", "b": "8 8 7"}},
		Orders:  map[string]string{},
		Options: map[string]string{"listenPort": fmt.Sprint(version), "orderMessageEnable": "false", "serverWorkerThreads": "8", "enableAllTopicList": "true"},
	}
	f.On(106, func(map[string]string) Reply { return OK(f.Cluster()) })
	f.On(206, func(map[string]string) Reply {
		f.tables.Lock()
		defer f.tables.Unlock()
		text, err := json.Marshal(map[string]any{"topicList": slices.Sorted(maps.Keys(f.Topics))})
		return Reply{Body: text, Code: code(err)}
	})
	f.On(105, f.Route)
	f.On(219, func(ext map[string]string) Reply {
		f.tables.Lock()
		defer f.tables.Unlock()
		if ext["namespace"] != "ORDER_TOPIC_CONFIG" || len(f.Orders) == 0 {
			return Reply{Code: 22, Remark: "No config item, Namespace: " + ext["namespace"]}
		}
		text, err := json.Marshal(map[string]any{"table": f.Orders})
		return Reply{Body: text, Code: code(err)}
	})
	f.On(319, func(map[string]string) Reply {
		f.tables.Lock()
		defer f.tables.Unlock()
		text := ""
		for k, v := range f.Options {
			text += k + "=" + v + "\n"
		}
		return OK(text)
	})
	return f
}

func code(err error) int {
	if err != nil {
		return 1
	}
	return 0
}

// Change changes the tables while it serves.
func (f *Fake) Change(how func(f *Fake)) {
	f.tables.Lock()
	defer f.tables.Unlock()
	how(f)
}

// Cluster is the body of 106 in the dialect of fastjson: numbers as keys without quotes.
func (f *Fake) Cluster() string {
	f.tables.Lock()
	defer f.tables.Unlock()
	groups, clusters := map[string][]string{}, map[string][]string{}
	of := map[string]string{}
	for key, addr := range f.Brokers {
		part := strings.Split(key, "/")
		groups[part[1]] = append(groups[part[1]], part[2]+":"+Quote(addr))
		of[part[1]] = part[0]
		if !slices.Contains(clusters[part[0]], Quote(part[1])) {
			clusters[part[0]] = append(clusters[part[0]], Quote(part[1]))
		}
	}
	var brokers, lists []string
	for name, addrs := range groups {
		brokers = append(brokers, fmt.Sprintf(`%q:{"brokerAddrs":{%s},"brokerName":%q,"cluster":%q,"enableActingMaster":false}`, name, strings.Join(addrs, ","), name, of[name]))
	}
	for cluster, names := range clusters {
		lists = append(lists, fmt.Sprintf(`%q:[%s]`, cluster, strings.Join(names, ",")))
	}
	return fmt.Sprintf(`{"brokerAddrTable":{%s},"clusterAddrTable":{%s}}`, strings.Join(brokers, ","), strings.Join(lists, ","))
}

// Route is the answer to 105.
func (f *Fake) Route(ext map[string]string) Reply {
	f.tables.Lock()
	defer f.tables.Unlock()
	queues, ok := f.Topics[ext["topic"]]
	if !ok {
		return Reply{Code: 17, Remark: "No topic route info in name server for the topic: " + ext["topic"]}
	}
	var list []string
	for broker, text := range queues { // in the order of a hash table, as Java's
		var read, write, perm int
		if _, err := fmt.Sscan(text, &read, &write, &perm); err != nil {
			return Reply{Code: 1, Remark: err.Error()}
		}
		list = append(list, fmt.Sprintf(`{"brokerName":%q,"perm":%d,"readQueueNums":%d,"topicSysFlag":0,"writeQueueNums":%d}`, broker, perm, read, write))
	}
	return OK(`{"brokerDatas":[],"filterServerTable":{},"queueDatas":[` + strings.Join(list, ",") + `]}`)
}
