package differential

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Deviations after which the tables of the original are others than ours: the sequence ends there.
const (
	// A refused single-topic registration changes nothing here. The original has by then taken the broker's old address
	// out, or put a broker without address in, and keeps it so.
	ruleRefused = "DEV-5"
	// An address that another one displaced, and whose broker name lost a broker since, is forgotten here. The original
	// keeps its live entry until the timeout, so that the same registration again changes no topics.
	ruleSuperseded = "DEV-4"
)

// wanted are the deviations (docs/spec/nameserver.md#deviations) that sequences show. Each counts how often it was
// met. Those with a predicate are looked at only when answers of the same code differ.
var wanted = []struct {
	rule    string
	what    string
	applies func(v view, st step, java, ours *kit.Answer) bool
}{
	{ruleSuperseded, "superseded live entries are dropped: the sequence ended", nil},
	{ruleRefused, "a refused single-topic registration changes nothing: the sequence ended", nil},
	{"DEV-7", "standard JSON kept after zone filtering", func(v view, st step, java, ours *kit.Answer) bool {
		return st.Code == 105 && st.Ext["__ZONE_MODE"] != "" && v.sameContent(st, java, ours)
	}},
	{"DEV-21", "mappings end with the broker that gave them", func(_ view, st step, java, ours *kit.Answer) bool {
		return st.Code == 105 && lacksMappingsOnly(java.Body, ours.Body)
	}},
}

// lacksMappingsOnly says that our route is the original's, less some of its mappings.
func lacksMappingsOnly(java, ours []byte) bool {
	a, errA := body.DecodeTopicRoute(java)
	b, errB := body.DecodeTopicRoute(ours)
	if errA != nil || errB != nil || a == nil || b == nil || len(b.Mappings) >= len(a.Mappings) {
		return false
	}
	for _, m := range b.Mappings {
		same := func(o body.BrokerMapping) bool { return fmt.Sprintf("%+v", o) == fmt.Sprintf("%+v", m) }
		if !slices.ContainsFunc(a.Mappings, same) {
			return false
		}
	}
	a.Mappings, b.Mappings, a.HasMappings, b.HasMappings = nil, nil, false, false
	sortRoute(a)
	sortRoute(b)
	return fmt.Sprintf("%+v", *a) == fmt.Sprintf("%+v", *b)
}

// sortRoute gives the lists of a route one order.
func sortRoute(r *body.TopicRoute) {
	slices.SortFunc(r.Brokers, func(a, b body.BrokerData) int { return strings.Compare(a.BrokerName, b.BrokerName) })
	slices.SortFunc(r.Queues, func(a, b body.QueueData) int { return strings.Compare(a.BrokerName, b.BrokerName) })
	slices.SortFunc(r.FilterServers, func(a, b body.FilterServers) int { return strings.Compare(a.Addr, b.Addr) })
	slices.SortFunc(r.Mappings, func(a, b body.BrokerMapping) int { return strings.Compare(a.BrokerName, b.BrokerName) })
	for i := range r.Brokers {
		sortAddrs(r.Brokers[i].Addrs)
	}
}

// javaFault says that the remark is the text of a Java exception: only codes are compared.
func javaFault(remark string) bool {
	return strings.Contains(remark, "Exception") || strings.Contains(remark, ".java") || strings.Contains(remark, "Failed to decode")
}

// view is what a sequence knows when it compares answers.
type view struct {
	prefix string
	met    func(rule string) // is told of every wanted difference
}

// refused says that a REGISTER of a single topic before the first registration was refused.
func refused(st step, a *kit.Answer) bool {
	return st.Code == 103 && a != nil && a.Code == 1 && a.Text() == "register broker failed"
}

// compare returns what differs, or "".
func (v view) compare(st step, java, ours *kit.Answer) string {
	text := v.differs(st, java, ours)
	if text == "" || java == nil || ours == nil || java.Code != ours.Code {
		return text
	}
	for _, w := range wanted {
		if w.applies != nil && w.applies(v, st, java, ours) {
			v.met(w.rule)
			return ""
		}
	}
	return text
}

func (v view) differs(st step, java, ours *kit.Answer) string {
	switch {
	case java == nil && ours == nil:
		return ""
	case java == nil || ours == nil:
		return fmt.Sprintf("only one answered: java %v, ours %v", java != nil, ours != nil)
	case java == closed || ours == closed:
		if java != ours {
			return fmt.Sprintf("java: %s\nours: %s", java.Header, ours.Header)
		}
		return ""
	case java.Code != ours.Code:
		return fmt.Sprintf("code: java %d %q, ours %d %q", java.Code, java.Text(), ours.Code, ours.Text())
	case java.Code == 1 && javaFault(java.Text()):
		return ""
	case java.Header != ours.Header && !sameBytes([]byte(java.Header), []byte(ours.Header)):
		return fmt.Sprintf("header:\njava %s\nours %s", java.Header, ours.Header)
	case bytes.Equal(java.Body, ours.Body):
		return ""
	}
	a, err := canonical(v.prefix, st, java.Body)
	if err != nil {
		return "java's body: " + err.Error()
	}
	b, err := canonical(v.prefix, st, ours.Body)
	if err != nil {
		return "our body: " + err.Error()
	}
	if a != b {
		return fmt.Sprintf("body:\njava %s\nours %s", a, b)
	}
	// In another order the bytes must be the same: an escape written otherwise shows here. Lists of all names hold those
	// of other sequences, which is why only their own members were compared.
	if st.Code == 105 && !sameBytes(java.Body, ours.Body) {
		return fmt.Sprintf("bytes of the body:\njava %s\nours %s", java.Body, ours.Body)
	}
	return ""
}

// sameContent says that two bodies differ in their bytes alone.
func (v view) sameContent(st step, java, ours *kit.Answer) bool {
	a, errA := canonical(v.prefix, st, java.Body)
	b, errB := canonical(v.prefix, st, ours.Body)
	return errA == nil && errB == nil && a == b
}

// sameBytes says that two texts are one another's rearrangement.
func sameBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	a, b = bytes.Clone(a), bytes.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return bytes.Equal(a, b)
}

// canonical is a body decoded, cut down to the sequence's own names, and sorted.
func canonical(prefix string, st step, text []byte) (string, error) {
	if len(text) == 0 {
		return "", nil
	}
	own := func(name string) bool { return strings.HasPrefix(name, prefix) }
	switch st.Code {
	case 105:
		r, err := body.DecodeTopicRoute(text)
		if err != nil {
			return "", err
		}
		sortRoute(r)
		return fmt.Sprintf("%+v", *r), nil
	case 106:
		info, err := body.DecodeClusterInfo(text)
		if err != nil {
			return "", err
		}
		return clusterText(info, own), nil
	case 206, 224, 304, 311, 312, 313:
		list, err := body.DecodeTopicList(text)
		if err != nil {
			return "", err
		}
		names := slices.DeleteFunc(list.Topics, func(n string) bool { return !own(n) })
		slices.Sort(names)
		return fmt.Sprintf("%q", names), nil // brokerAddr of 304 is any broker's
	case 901:
		g, err := body.DecodeMemberGroup(text)
		if err != nil {
			return "", err
		}
		sortAddrs(g.Addrs)
		return fmt.Sprintf("%+v", *g), nil
	case 103, 219:
		table, err := body.DecodeKVTable(text)
		if err != nil {
			return "", err
		}
		table = slices.DeleteFunc(table, func(kv body.KV) bool { return !own(kv.Key) })
		slices.SortFunc(table, func(a, b body.KV) int { return strings.Compare(a.Key, b.Key) })
		return fmt.Sprintf("%q", table), nil
	}
	return string(text), nil
}

func sortAddrs(addrs []body.BrokerAddr) {
	slices.SortFunc(addrs, func(a, b body.BrokerAddr) int { return int(a.ID - b.ID) })
}

func clusterText(info *body.ClusterInfo, own func(string) bool) string {
	var lines []string
	for _, b := range info.Brokers {
		if own(b.BrokerName) {
			sortAddrs(b.Addrs)
			lines = append(lines, fmt.Sprintf("broker %+v", b))
		}
	}
	for _, c := range info.Clusters {
		if own(c.Cluster) {
			slices.Sort(c.Brokers)
			lines = append(lines, fmt.Sprintf("cluster %q: %q", c.Cluster, c.Brokers))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
