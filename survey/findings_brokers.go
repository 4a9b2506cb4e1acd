package survey

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/remoting"
)

const (
	clockNear  = 5 * time.Second
	clocksSame = 2 * time.Second
	diskWarn   = 0.75
	diskError  = 0.85
)

// network is what two addresses share that are near each other: 24 bits of IPv4, 64 of IPv6; a name is alone.
func network(addr string) string {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return addr
	}
	bits := 24
	if at.Addr().Unmap().Is6() {
		bits = 64
	}
	p, err := at.Addr().Unmap().Prefix(bits)
	if err != nil {
		return addr
	}
	return p.String()
}

func brokerUnreachable(e *Evidence, find found) {
	here, there := map[string]bool{}, map[string]bool{} // networks that are reached from here, and by the node
	for i := range e.Brokers {
		b := &e.Brokers[i]
		here[network(b.Addr)] = here[network(b.Addr)] || b.Dial == ""
		there[network(b.Addr)] = there[network(b.Addr)] || b.Node != nil && b.Node.Reached
	}
	const although = ", although another broker of the same network is reached"
	for i := range e.Brokers {
		b := &e.Brokers[i]
		near := network(b.Addr)
		fails, nodeFails := b.Dial != "", b.Node != nil && !b.Node.Reached
		switch {
		case !fails && !nodeFails:
			continue
		case b.Dial == Refused && !here[near] && (b.Node == nil || nodeFails && !there[near]):
			continue // broker-listed-but-gone says it
		}
		degree, text := Note, "reached from here"
		if fails {
			text = "not reachable from here: " + b.DialError
		}
		if fails && here[near] {
			degree, text = Error, text+although
		}
		switch {
		case nodeFails:
			text += fmt.Sprintf("; node %s does not reach it: %s", b.Node.Node, b.Node.Why)
			if there[near] {
				text += although
			}
			if fails || there[near] {
				degree = Error
			}
		case b.Node != nil:
			text += fmt.Sprintf("; node %s reaches it", b.Node.Node)
		}
		find(degree, b.String(), text)
	}
}

func brokerListedButGone(e *Evidence, find found) {
	for i := range e.Brokers {
		b := &e.Brokers[i]
		if b.Dial != Refused || b.Node != nil && b.Node.Reached { // refused on the way from here
			continue
		}
		var at []string
		for _, server := range b.At {
			at = append(at, e.Targets[server].Addr)
		}
		text := "its port is refused, and it is still listed at " + strings.Join(at, ", ")
		if b.RefusedFor > 0 {
			text += fmt.Sprintf(", for %v at least", b.RefusedFor.Round(time.Second/10))
		}
		find(Error, b.String(), text)
	}
}

func brokerSlow(e *Evidence, find found) {
	for i := range e.Brokers {
		if b := &e.Brokers[i]; b.Dial == "" && isFault(b.Fault, Silent) {
			find(Warning, b.String(), "it takes connections and did not answer in time")
		}
	}
}

// allServers says that all NameServers are at such addresses.
func allServers(targets []Target, in func(netip.Addr) bool) bool {
	return !slices.ContainsFunc(targets, func(t Target) bool {
		at, err := netip.ParseAddrPort(t.Addr)
		return err != nil || !in(at.Addr().Unmap())
	})
}

// nobodys says that an address means the machine of whoever uses it, and the NameServers are on others: what answers here is not
// the broker.
func nobodys(addr string, targets []Target) bool {
	at, err := netip.ParseAddrPort(addr)
	return err == nil && (at.Addr().IsUnspecified() || at.Addr().Unmap().IsLoopback() && !allServers(targets, netip.Addr.IsLoopback))
}

func brokerAddressLocal(e *Evidence, find found) {
	docker0 := netip.MustParsePrefix("172.17.0.0/16")                                      // of a Docker engine that nobody has configured
	pools := []string{"172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/13", "192.168.0.0/16"} // from which it takes more
	servers := func(in func(netip.Addr) bool) bool { return allServers(e.Targets, in) }
	for i := range e.Brokers {
		b := &e.Brokers[i]
		at, err := netip.ParseAddrPort(b.Addr)
		if err != nil {
			continue
		}
		addr := at.Addr().Unmap()
		switch {
		case addr.IsLoopback() && !servers(netip.Addr.IsLoopback):
			find(Error, b.String(), "it advertises a loopback address, and the NameServers are elsewhere")
		case addr.IsUnspecified():
			find(Error, b.String(), "it advertises no address")
		case addr.IsLinkLocalUnicast() && !servers(netip.Addr.IsLinkLocalUnicast):
			find(Error, b.String(), "it advertises a link-local address, and the NameServers are elsewhere")
		case docker0.Contains(addr) && !servers(docker0.Contains):
			find(Error, b.String(), "it advertises an address of Docker's own bridge (172.17.0.0/16), and the NameServers are elsewhere")
		default:
			for _, pool := range pools {
				near := netip.PrefixFrom(addr, 16).Masked()
				if netip.MustParsePrefix(pool).Contains(addr) && !servers(near.Contains) {
					find(Note, b.String(), "its address is of a network from which Docker takes bridges, and the NameServers are elsewhere; it may be one of yours")
				}
			}
		}
	}
}

func nameInTwoClusters(e *Evidence, find found) {
	clusters := map[string][]string{}
	add := func(name, cluster string) {
		if !slices.Contains(clusters[name], cluster) {
			clusters[name] = append(clusters[name], cluster)
		}
	}
	for _, v := range e.Diff.Views {
		for _, g := range v.Groups {
			add(g.Broker, g.Cluster)
		}
		for cluster, names := range v.Clusters {
			for _, name := range names {
				add(name, cluster)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		if in := clusters[name]; len(in) > 1 {
			slices.Sort(in)
			find(Error, name, "it is in the clusters "+strings.Join(in, " and "))
		}
	}
}

func addressUnderTwoNames(e *Evidence, find found) {
	names := map[string][]string{}
	for i := range e.Brokers {
		b := &e.Brokers[i]
		if !slices.Contains(names[b.Addr], b.Broker) {
			names[b.Addr] = append(names[b.Addr], b.Broker)
		}
	}
	for _, addr := range slices.Sorted(maps.Keys(names)) {
		if len(names[addr]) > 1 {
			find(Error, addr, "it is the address of "+strings.Join(names[addr], " and "))
		}
	}
}

func noMaster(e *Evidence, find found) {
	type group struct{ cluster, broker string }
	master, acting := map[group]bool{}, map[group]bool{}
	for _, v := range e.Diff.Views {
		for _, g := range v.Groups {
			key := group{g.Cluster, g.Broker}
			if len(g.Addrs) > 0 {
				master[key] = master[key] || g.Addrs[0].ID == 0
				acting[key] = acting[key] || g.Acting && v.Options["supportActingMaster"] == "true"
			}
		}
	}
	var all []group
	for key, has := range master {
		if !has {
			all = append(all, key)
		}
	}
	order.By(all, func(a, b group) int { return strings.Compare(a.cluster+"\x00"+a.broker, b.cluster+"\x00"+b.broker) })
	for _, key := range all {
		if acting[key] {
			find(Warning, key.broker, "no master is registered; a replica acts for it")
		} else {
			find(Error, key.broker, "no master is registered, and no replica acts for it")
		}
	}
}

func topicNoWritableQueue(e *Evidence, find found) {
	if all := e.topics.with(topicServed, topicWritable); len(all) > 0 {
		find(Warning, count(len(all), "topic"), few(all))
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func queueNumbersDiffer(e *Evidence, find found) {
	if all := e.topics.with(topicUneven, 0); len(all) > 0 {
		find(Note, count(len(all), "topic"), few(all))
	}
}

func orderConfStale(e *Evidence, find found) {
	told := map[string]bool{}
	for _, v := range e.Diff.Views {
		for s, conf := range v.Facts {
			if s.Kind != KindOrder || !e.topics.knows(s.Topic) {
				continue
			}
			for _, part := range strings.FieldsFunc(conf, func(r rune) bool { return r == ';' || r == ',' }) {
				broker, number, _ := strings.Cut(part, ":")
				has, there := e.topics.orders[s.Topic][broker]
				text := ""
				switch n, err := strconv.Atoi(number); {
				case !there:
					text = fmt.Sprintf("it names broker %s, which does not serve the topic", broker)
				case err != nil:
					text = fmt.Sprintf("%q is no number of queues", part)
				case int32(n) != has:
					text = fmt.Sprintf("it says %d queues at broker %s, which has %d to write to", n, broker, has)
				}
				if text != "" {
					told[s.Topic+"\x00"+text] = true
				}
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(told)) {
		topic, text, _ := strings.Cut(key, "\x00")
		find(Warning, topic, text)
	}
}

func clockApart(e *Evidence, find found) {
	var off []*BrokerSeen
	least, most, known := time.Duration(0), time.Duration(0), 0
	for i := range e.Brokers {
		b := &e.Brokers[i]
		if !b.HasClock {
			continue
		}
		if known++; known == 1 {
			least, most = b.Clock, b.Clock
		}
		least, most = min(least, b.Clock), max(most, b.Clock)
		if b.Clock >= clockNear || b.Clock <= -clockNear {
			off = append(off, b)
		}
	}
	if len(off) > 1 && len(off) == known && most-least < clocksSame {
		find(Warning, "this machine", fmt.Sprintf("all %d brokers are %s this machine: most likely its own clock is wrong", known, ahead(off[0].Clock)))
		return
	}
	for _, b := range off {
		find(Warning, b.String(), "its clock is "+ahead(b.Clock)+" that of this machine")
	}
}

func ahead(d time.Duration) string {
	if d < 0 {
		return (-d).Round(time.Second/10).String() + " behind"
	}
	return d.Round(time.Second/10).String() + " ahead of"
}

func brokerVersionsMixed(e *Evidence, find found) {
	clusters, groups := map[string][]int32{}, map[string][]int32{}
	for i := range e.Brokers {
		if b := &e.Brokers[i]; b.Version > 0 {
			clusters[b.Cluster] = append(clusters[b.Cluster], b.Version)
			groups[b.Cluster+"\x00"+b.Broker] = append(groups[b.Cluster+"\x00"+b.Broker], b.Version)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		if all := groups[key]; slices.Min(all) < mq.V5_0_0 && slices.Max(all) >= mq.V5_0_0 {
			_, broker, _ := strings.Cut(key, "\x00")
			find(Warning, broker, "one broker group has "+versions(all))
		}
	}
	for _, cluster := range slices.Sorted(maps.Keys(clusters)) {
		if all := clusters[cluster]; slices.Min(all) != slices.Max(all) {
			find(Note, "cluster "+cluster, versions(all))
		}
	}
}

func versions(all []int32) string {
	slices.Sort(all)
	var names []string
	for _, v := range slices.Compact(all) {
		names = append(names, remoting.VersionText(v))
	}
	return strings.Join(names, " and ")
}

func replicaBehind(e *Evidence, find found) {
	for _, i := range behind(e.Brokers) {
		b := &e.Brokers[i]
		for k := range e.Brokers {
			m := &e.Brokers[k]
			if m.Cluster != b.Cluster || m.Broker != b.Broker || m.ID != 0 || len(m.Offsets) < behindLooks || len(b.Offsets) < behindLooks {
				continue
			}
			by := m.Offsets[behindLooks-1] - b.Offsets[behindLooks-1]
			find(Warning, b.String(), fmt.Sprintf("it was behind its master in %d answers, %v apart: by %d MiB", behindLooks, e.Settle, by>>20))
		}
	}
}

func diskNearlyFull(e *Evidence, find found) {
	for i := range e.Brokers {
		b := &e.Brokers[i]
		text := fmt.Sprintf("the disk of its commit log is %.0f%% full", b.Disk*100)
		switch {
		case b.Disk >= diskError:
			find(Error, b.String(), text)
		case b.Disk >= diskWarn:
			find(Warning, b.String(), text)
		}
	}
}

func brokerReadOnly(e *Evidence, find found) {
	type seen struct{ without, with []string }
	brokers := map[string]*seen{}
	for key, n := range e.topics.perms {
		if brokers[key.broker] == nil {
			brokers[key.broker] = &seen{}
		}
		s, addr := brokers[key.broker], e.Targets[key.server].Addr
		if n.writable == 0 {
			s.without = append(s.without, addr)
		} else {
			s.with = append(s.with, addr)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(brokers)) {
		s := brokers[name]
		slices.Sort(s.without)
		slices.Sort(s.with)
		switch {
		case len(s.without) == 0 || !e.topics.masters[name]:
		case len(s.with) > 0:
			find(Warning, name, fmt.Sprintf("its write permission was wiped (mqadmin wipeWritePerm) at %s, and not at %s", strings.Join(s.without, ", "), strings.Join(s.with, ", ")))
		default:
			find(Warning, name, "none of its topics can be written to: its brokerPermission says so, or its write permission was wiped (mqadmin wipeWritePerm) at every NameServer")
		}
	}
}

func addressListPartial(e *Evidence, find found) {
	lists := map[string][]string{}
	for i := range e.Brokers {
		if b := &e.Brokers[i]; b.HasList {
			lists[strings.Join(b.List, ";")] = append(lists[strings.Join(b.List, ";")], b.Broker+"/"+strconv.FormatInt(b.ID, 10))
		}
	}
	if len(lists) < 2 {
		return
	}
	var parts []string
	for _, list := range slices.Sorted(maps.Keys(lists)) {
		parts = append(parts, list+" at "+few(lists[list]))
	}
	find(Warning, "brokers", strings.Join(parts, "; "))
}
