package differential

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/remoting/body"
)

// wanted are the differences that Appendix B asks for and that sequences show all the same. Each counts how often it was met.
var wanted = []struct {
	row     int // of Appendix B
	what    string
	applies func(st step, java, ours *answer) bool
}{
	{7, "quoted keys kept after zone filtering", func(st step, java, ours *answer) bool {
		return st.Code == 105 && st.Ext["__ZONE_MODE"] != "" && java.code == 0 && ours.code == 0
	}},
	// An address that another one displaced, and whose broker name is gone since, is forgotten here; the original keeps its
	// live entry until the timeout. The broker is told to register again, which it would have to do anyway.
	{4, "superseded live entries are dropped", func(st step, java, ours *answer) bool {
		return st.Code == 322 && len(ours.body) == 0 && len(java.body) > 0 &&
			strings.Contains(string(ours.header), `"changed":"true"`)
	}},
}

// javaFault says that the remark is the text of a Java exception: only codes are compared.
func javaFault(remark string) bool {
	return strings.Contains(remark, "Exception") || strings.Contains(remark, ".java") || strings.Contains(remark, "Failed to decode")
}

// compare returns what differs, or "". met is told of every wanted difference.
func compare(prefix string, st step, java, ours *answer, met func(row int)) string {
	switch {
	case java == nil && ours == nil:
		return ""
	case java == nil || ours == nil:
		return fmt.Sprintf("only one answered: java %v, ours %v", java != nil, ours != nil)
	case java.code != ours.code:
		return fmt.Sprintf("code: java %d %q, ours %d %q", java.code, java.remark, ours.code, ours.remark)
	case java.code == 1 && javaFault(java.remark):
		return ""
	case isWanted(st, java, ours, met, 4):
		return ""
	case !bytes.Equal(java.header, ours.header) && !sameBytes(java.header, ours.header):
		return fmt.Sprintf("header:\njava %s\nours %s", java.header, ours.header)
	}
	if bytes.Equal(java.body, ours.body) {
		return ""
	}
	a, err := canonical(prefix, st, java.body)
	if err != nil {
		return "java's body: " + err.Error()
	}
	b, err := canonical(prefix, st, ours.body)
	if err != nil {
		return "our body: " + err.Error()
	}
	if a != b {
		return fmt.Sprintf("body:\njava %s\nours %s", a, b)
	}
	if isWanted(st, java, ours, met, 7) {
		return ""
	}
	// In another order the bytes must be the same: an escape written otherwise shows here. Lists of all names hold those
	// of other sequences, which is why only their own members were compared.
	if st.Code == 105 && !sameBytes(java.body, ours.body) {
		return fmt.Sprintf("bytes of the body:\njava %s\nours %s", java.body, ours.body)
	}
	return ""
}

// isWanted says that the difference is the one of that row, and counts it.
func isWanted(st step, java, ours *answer, met func(row int), row int) bool {
	for _, w := range wanted {
		if w.row == row && w.applies(st, java, ours) {
			met(row)
			return true
		}
	}
	return false
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
		slices.SortFunc(r.Brokers, func(a, b body.BrokerData) int { return strings.Compare(a.BrokerName, b.BrokerName) })
		slices.SortFunc(r.Queues, func(a, b body.QueueData) int { return strings.Compare(a.BrokerName, b.BrokerName) })
		slices.SortFunc(r.FilterServers, func(a, b body.FilterServers) int { return strings.Compare(a.Addr, b.Addr) })
		slices.SortFunc(r.Mappings, func(a, b body.BrokerMapping) int { return strings.Compare(a.BrokerName, b.BrokerName) })
		for i := range r.Brokers {
			sortAddrs(r.Brokers[i].Addrs)
		}
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
	// A refused single-topic registration leaves a broker without address in the original's tables, and none in ours (B 5).
	empty := map[string]bool{}
	for _, b := range info.Brokers {
		empty[b.BrokerName] = len(b.Addrs) == 0
		if own(b.BrokerName) && len(b.Addrs) > 0 {
			sortAddrs(b.Addrs)
			lines = append(lines, fmt.Sprintf("broker %+v", b))
		}
	}
	for _, c := range info.Clusters {
		if own(c.Cluster) {
			c.Brokers = slices.DeleteFunc(c.Brokers, func(name string) bool { return empty[name] })
			if len(c.Brokers) == 0 {
				continue
			}
			slices.Sort(c.Brokers)
			lines = append(lines, fmt.Sprintf("cluster %q: %q", c.Cluster, c.Brokers))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
