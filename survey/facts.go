package survey

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/properties"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/remoting/body"
)

// Kind is a sort of thing that a NameServer serves.
type Kind string

// The kinds.
const (
	KindBroker Kind = "broker" // a broker's address by cluster, name and id
	KindZone   Kind = "zone"   // a broker's zone
	KindActing Kind = "acting" // whether a broker's slave may act as master
	KindTopic  Kind = "topic"  // a topic's queues at one broker: numbers, permission, mapping
	KindOrder  Kind = "order"  // an order configuration
	KindKV     Kind = "kv"     // any other key of the KV store
	KindOption Kind = "option" // an option
)

// Subject is one thing that NameServers may serve with a value each. Members that its kind does not have are empty.
type Subject struct {
	Kind    Kind
	Cluster string
	Broker  string
	ID      int64
	Topic   string
	Key     string // of an option; of a KV entry NAMESPACE/KEY
}

// String names it for people.
func (s Subject) String() string {
	switch s.Kind {
	case KindBroker:
		return fmt.Sprintf("broker %s (id %d) of cluster %s", s.Broker, s.ID, s.Cluster)
	case KindZone:
		return fmt.Sprintf("the zone of broker %s", s.Broker)
	case KindActing:
		return fmt.Sprintf("enableActingMaster of broker %s", s.Broker)
	case KindTopic:
		return fmt.Sprintf("topic %s at broker %s", s.Topic, s.Broker)
	case KindOrder:
		return fmt.Sprintf("the order configuration of topic %s", s.Topic)
	case KindKV:
		return fmt.Sprintf("the KV value %s", s.Key)
	}
	return "the option " + s.Key
}

func compareSubjects(a, b Subject) int {
	return cmp.Or(cmp.Compare(kindOrder(a.Kind), kindOrder(b.Kind)), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Broker, b.Broker),
		cmp.Compare(a.ID, b.ID), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Key, b.Key))
}

func kindOrder(k Kind) int {
	return slices.Index([]Kind{KindBroker, KindZone, KindActing, KindTopic, KindOrder, KindKV, KindOption}, k)
}

// Facts are what one NameServer serves.
type Facts map[Subject]string

// orderNamespace is where order configurations stand in the KV store (NamesrvUtil.NAMESPACE_ORDER_TOPIC_CONFIG).
const orderNamespace = "ORDER_TOPIC_CONFIG"

// Group is one broker name at one NameServer.
type Group struct {
	Cluster, Broker string
	Addrs           []body.BrokerAddr // by id
	Acting          bool              // its slaves may act as master
}

// addCluster takes the answer to 106 apart.
func (f Facts) addCluster(info *body.ClusterInfo) (groups []Group) {
	for _, b := range info.Brokers {
		for _, a := range b.Addrs {
			f[Subject{Kind: KindBroker, Cluster: b.Cluster, Broker: b.BrokerName, ID: a.ID}] = a.Addr
		}
		if b.ZoneName.Valid {
			f[Subject{Kind: KindZone, Cluster: b.Cluster, Broker: b.BrokerName}] = b.ZoneName.S
		}
		if b.EnableActingMaster {
			f[Subject{Kind: KindActing, Cluster: b.Cluster, Broker: b.BrokerName}] = "true"
		}
		addrs := slices.Clone(b.Addrs)
		order.By(addrs, func(a, b body.BrokerAddr) int { return cmp.Compare(a.ID, b.ID) })
		groups = append(groups, Group{b.Cluster, b.BrokerName, addrs, b.EnableActingMaster})
	}
	order.By(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Broker, b.Broker))
	})
	return groups
}

func (f Facts) addKV(namespace string, table []body.KV) {
	for _, kv := range table {
		if namespace == orderNamespace {
			f[Subject{Kind: KindOrder, Topic: kv.Key}] = kv.Value
		} else {
			f[Subject{Kind: KindKV, Key: namespace + "/" + kv.Key}] = kv.Value
		}
	}
}

// optionsOf reads the answer to 319: properties.
func optionsOf(text []byte) (map[string]string, error) {
	entries, err := properties.Parse(properties.FromText(text))
	if err != nil {
		return nil, err
	}
	options := make(map[string]string, len(entries))
	for _, e := range entries {
		options[e.Key] = e.Value
	}
	return options, nil
}

// perHost are options that may well be others at every NameServer.
var perHost = []string{
	"rocketmqHome", "kvConfigPath", "configStorePath", "storePath", "listenPort", "bindAddress", "clientCallbackExecutorThreads",
	"serverCallbackExecutorThreads", "controllerDLegerSelfId", "controllerStorePath", "jraftServerId",
}

// weighty are options that decide what is served, whatever version serves it. Others are compared within one version, whose
// defaults are the same.
var weighty = []string{
	"orderMessageEnable", "enableAllTopicList", "enableTopicList", "needWaitForService", "supportActingMaster",
	"returnOrderTopicConfigToBroker", "deleteTopicWithBrokerRegistration", "notifyMinBrokerIdChanged", "enableControllerInNamesrv",
	"clusterTest",
}

// queueText is a topic's queues at one broker, for people and for comparing.
func queueText(q *body.QueueData) string {
	text := fmt.Sprintf("read %d write %d perm %s", q.ReadQueueNums, q.WriteQueueNums, permText(q.Perm))
	if q.TopicSysFlag != 0 {
		text += fmt.Sprintf(" flag %d", q.TopicSysFlag)
	}
	return text
}

// permText is RocketMQ's number of a permission in letters (PermName.perm2String); what it has no letter for stays a number.
func permText(perm int32) string {
	text := ""
	for _, one := range []struct {
		bit    int32
		letter string
	}{{4, "r"}, {2, "w"}, {1, "x"}} {
		if perm&one.bit != 0 {
			text += one.letter
		}
	}
	switch {
	case perm&^7 != 0:
		return strconv.Itoa(int(perm))
	case text == "":
		return "none"
	}
	return text
}

func mappingText(m *body.Mapping) string {
	ids := slices.Clone(m.CurrIDs)
	order.By(ids, func(a, b body.QueueID) int { return cmp.Compare(a.Global, b.Global) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %d queues, epoch %d", m.Scope.S, m.TotalQueues, m.Epoch)
	for _, id := range ids {
		fmt.Fprintf(&b, " %d=%d", id.Global, id.Local)
	}
	return b.String()
}

// routeFacts are those of a route: queues and mapping by broker. Addresses are those of the list of brokers and are left
// out, and so is what lists are sorted by: a Java NameServer answers in the order of its hash tables.
func routeFacts(topic string, r *body.TopicRoute) Facts {
	f := Facts{}
	for i := range r.Queues {
		f[Subject{Kind: KindTopic, Topic: topic, Broker: r.Queues[i].BrokerName}] = queueText(&r.Queues[i])
	}
	for i := range r.Mappings {
		s := Subject{Kind: KindTopic, Topic: topic, Broker: r.Mappings[i].BrokerName}
		f[s] = strings.TrimSpace(f[s] + " mapping " + mappingText(&r.Mappings[i].Mapping))
	}
	return f
}

// Value is what one NameServer serves for a subject.
type Value struct {
	Known bool // it was asked, and answered
	Held  bool // it has it
	Text  string
}

// Difference is a subject with several values: one for each NameServer, in the order of the survey.
type Difference struct {
	Subject
	Values []Value
}

// same says that both looks found the same.
func (d *Difference) same(o *Difference) bool {
	return d.Subject == o.Subject && slices.Equal(d.Values, o.Values)
}

// View is what one look at one NameServer found.
type View struct {
	Fault    error // it cannot be compared at all; nil: it answered
	Version  int32
	Groups   []Group             // by cluster and name
	Clusters map[string][]string // broker names by cluster, as the NameServer lists them
	Options  map[string]string   // nil: not known
	Facts    Facts               // all kinds but topics
	Known    map[Kind]bool       // what it answered; the rest is not compared
	Notes    []string            // what an option explains
	Missing  []string            // what it did not answer
	listed   bool                // it told its topics
}

// Compare finds what NameServers serve differently, of all kinds but topics. Only those that answered for a kind are compared.
// Differences are sorted.
func Compare(views []*View) []Difference {
	subjects := map[Subject]bool{}
	for _, v := range views {
		for s := range v.Facts {
			subjects[s] = true
		}
	}
	var all []Difference
	for s := range subjects {
		d := Difference{s, make([]Value, len(views))}
		for i, v := range views {
			text, held := v.Facts[s]
			d.Values[i] = Value{v.Fault == nil && v.Known[s.Kind], held, text}
		}
		if d.differs() {
			all = append(all, d)
		}
	}
	all = append(all, compareOptions(views)...)
	sortDifferences(all)
	return all
}

func sortDifferences(all []Difference) {
	order.By(all, func(a, b Difference) int { return compareSubjects(a.Subject, b.Subject) })
}

// differs compares those that are known.
func (d *Difference) differs() bool {
	first := -1
	for i, v := range d.Values {
		switch {
		case !v.Known:
		case first < 0:
			first = i
		case v != d.Values[first]:
			return true
		}
	}
	return false
}

func compareOptions(views []*View) (all []Difference) {
	keys := map[string]bool{}
	for _, v := range views {
		for k := range v.Options {
			keys[k] = !slices.Contains(perHost, k)
		}
	}
	for key, wanted := range keys {
		if !wanted {
			continue
		}
		d := Difference{Subject{Kind: KindOption, Key: key}, make([]Value, len(views))}
		var versions []int32
		for i, v := range views {
			if text, has := v.Options[key]; has && v.Fault == nil { // a version that does not have it is not compared
				d.Values[i] = Value{true, true, text}
				versions = append(versions, v.Version)
			}
		}
		slices.Sort(versions)
		if (slices.Contains(weighty, key) || len(slices.Compact(versions)) == 1) && d.differs() {
			all = append(all, d)
		}
	}
	return all
}

// explained is the option behind a difference, or "": then it is none that anybody asked for.
func (d *Difference) explained(views []*View) string {
	switch d.Kind {
	case KindZone:
		return "zoneName"
	case KindActing:
		return "enableActingMaster"
	case KindTopic:
		if old := d.before5(views); old && d.acting(views) {
			return "enableActingMaster: NameServers before 5.0 do not take the permission to write from an acting master"
		} else if old && slices.ContainsFunc(d.Values, func(v Value) bool { return strings.Contains(v.Text, "mapping ") }) {
			return "static topics, which NameServers before 5.0 do not know"
		}
	}
	return ""
}

// before5 says that some of those compared are older than 5.0 and others are not.
func (d *Difference) before5(views []*View) bool {
	before, from := false, false
	for i, v := range d.Values {
		if v.Known {
			before, from = before || views[i].Version < mq.V5_0_0, from || views[i].Version >= mq.V5_0_0
		}
	}
	return before && from
}

func (d *Difference) acting(views []*View) bool {
	for _, v := range views {
		for _, g := range v.Groups {
			if g.Broker == d.Broker && g.Acting && (len(g.Addrs) == 0 || g.Addrs[0].ID != 0) {
				return true
			}
		}
	}
	return false
}
