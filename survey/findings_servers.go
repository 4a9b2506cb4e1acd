package survey

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Where findings begin.
const (
	slowBeyondRTT   = 200 * time.Millisecond
	nearFrame       = 8 << 20  // bytes of an answer
	veryNearFrame   = 15 << 20 // bytes of an answer
	certificateLeft = 30 * 24 * time.Hour
	scanLeast       = time.Second
	scanMost        = time.Minute
)

func nameserverSilent(e *Evidence, find found) {
	for i, v := range e.Diff.Views {
		if v.Fault != nil {
			find(Error, e.Targets[i].Addr, short(v.Fault))
		}
	}
}

func nameserverSlow(e *Evidence, find found) {
	for i := range e.Servers {
		s := &e.Servers[i]
		if len(s.Times) == 0 {
			continue
		}
		if at := (len(s.Times)*95 - 1) / 100; s.Times[at] > s.RTT+slowBeyondRTT {
			find(Warning, e.Targets[i].Addr, fmt.Sprintf("%d of %d answers took up to %v, a TCP connection %v", at+1, len(s.Times), s.Times[at].Round(time.Millisecond), s.RTT.Round(time.Millisecond)))
		}
	}
}

func nameserversDisagree(e *Evidence, find found) {
	var grave, light []string
	for i := range e.Diff.Told {
		d := &e.Diff.Told[i]
		text := d.Subject.String() + ": " + d.Spoken(e.Targets)
		if d.Kind == KindBroker || d.Kind == KindTopic {
			grave = append(grave, text)
		} else {
			light = append(light, text)
		}
	}
	tell := func(degree Degree, what string, all []string, more int) {
		if len(all) == 0 {
			return
		}
		shown := all[:min(len(all), 5)]
		text := strings.Join(shown, "; and ")
		if rest := len(all) - len(shown) + more; rest > 0 {
			text += fmt.Sprintf("; and %d more: epitaph diff -n", rest)
		}
		find(degree, what, text)
	}
	tell(Error, "brokers and routes", grave, e.Diff.More)
	tell(Warning, "KV values and options", light, 0)
}

func twoMasters(e *Evidence, find found) {
	for i := range e.Diff.Told {
		if d := &e.Diff.Told[i]; d.Kind == KindBroker && d.ID == 0 && len(d.Texts()) > 1 {
			find(Error, d.Broker, d.Spoken(e.Targets))
		}
	}
}

func brokerPartlyRegistered(e *Evidence, find found) {
	for i := range e.Diff.Told {
		d := &e.Diff.Told[i]
		lacks := d.Lacking(e.Targets)
		if d.Kind != KindBroker || len(lacks) == 0 {
			continue
		}
		text := d.Spoken(e.Targets)
		for k := range e.Brokers {
			if b := &e.Brokers[k]; b.Broker == d.Broker && b.ID == d.ID && b.HasList && slices.Contains(d.Texts(), b.Addr) {
				text += e.ownListSays(b, lacks)
			}
		}
		find(Error, fmt.Sprintf("%s (id %d)", d.Broker, d.ID), text)
	}
}

// ownListSays compares what a broker was told with the NameServers that lack it.
func (e *Evidence) ownListSays(b *BrokerSeen, lacks []string) string {
	var used []netip.AddrPort
	for _, one := range b.List {
		used = append(used, e.resolved(one)...)
	}
	var unlisted []string
	for _, addr := range lacks {
		if at, err := netip.ParseAddrPort(addr); err == nil && !slices.Contains(used, at) {
			unlisted = append(unlisted, addr)
		}
	}
	if len(unlisted) > 0 {
		return fmt.Sprintf("; its namesrvAddr (%s) does not name %s", strings.Join(b.List, ";"), strings.Join(unlisted, ", "))
	}
	return "; its namesrvAddr names all of these, so its registrations do not arrive there or are refused"
}

func topicOnOneNameServer(e *Evidence, find found) {
	at := map[string]map[string]bool{} // topic: NameServers that have it
	known := map[string]int{}
	for i := range e.Diff.Told {
		d := &e.Diff.Told[i]
		if d.Kind != KindTopic {
			continue
		}
		if at[d.Topic] == nil {
			at[d.Topic] = map[string]bool{}
		}
		n := 0
		for k, v := range d.Values {
			if v.Known {
				n++
			}
			if v.Known && v.Held {
				at[d.Topic][e.Targets[k].Addr] = true
			}
		}
		known[d.Topic] = n
	}
	byServer := map[string][]string{}
	for topic, servers := range at {
		if len(servers) == 1 && known[topic] > 1 && e.nowhereElse(topic, servers) {
			for server := range servers {
				byServer[server] = append(byServer[server], topic)
			}
		}
	}
	for _, server := range slices.Sorted(maps.Keys(byServer)) {
		slices.Sort(byServer[server])
		find(Warning, server, "only there: "+few(byServer[server]))
	}
}

// nowhereElse says that no NameServer but those has the topic in another part of its route, which does not differ.
func (e *Evidence) nowhereElse(topic string, servers map[string]bool) bool {
	i := slices.Index(e.topics.names, topic)
	for k, served := range e.topics.served {
		if i >= 0 && !servers[e.Targets[k].Addr] && served.has(i) {
			return false
		}
	}
	return true
}

func routeNearFrameLimit(e *Evidence, find found) {
	for i := range e.Servers {
		for _, what := range slices.Sorted(maps.Keys(e.Servers[i].Large)) {
			n := e.Servers[i].Large[what]
			degree := Warning
			if n > veryNearFrame {
				degree = Error
			}
			if n > nearFrame {
				find(degree, e.Targets[i].Addr, fmt.Sprintf("%s has %.1f MiB", what, float64(n)/(1<<20)))
			}
		}
	}
}

func plainAdmin(e *Evidence, find found) {
	if e.Diff.Compared() > 0 {
		find(Note, "", "anybody who reaches these NameServers may change what they serve (not tried)")
	}
}

func optionDangerous(e *Evidence, find found) {
	controllers, not := []string{}, []string{}
	for i, v := range e.Diff.Views {
		addr := e.Targets[i].Addr
		if list, has := v.Options["configBlackList"]; has && strings.Trim(list, "; ") == "" {
			find(Warning, addr, "configBlackList is empty, so paths of files may be changed from outside")
		}
		if ms, err := strconv.ParseInt(v.Options["scanNotActiveBrokerInterval"], 10, 64); err == nil {
			if scan := time.Duration(min(ms, int64(time.Hour/time.Millisecond))) * time.Millisecond; scan < scanLeast || scan > scanMost {
				find(Warning, addr, fmt.Sprintf("scanNotActiveBrokerInterval=%d: brokers that died are looked for every %v", ms, scan))
			}
		}
		switch v.Options["enableControllerInNamesrv"] {
		case "true":
			controllers = append(controllers, addr)
		case "false":
			not = append(not, addr)
		}
	}
	if len(controllers) > 0 && len(not) > 0 {
		find(Warning, "", fmt.Sprintf("enableControllerInNamesrv is true at %s and false at %s", strings.Join(controllers, ", "), strings.Join(not, ", ")))
	}
}

func tlsModesDiffer(e *Evidence, find found) {
	servers, brokers := map[string][]string{}, map[string][]string{}
	for i := range e.Servers {
		if mode := e.Servers[i].TLS.Mode(); mode != "" {
			servers[mode] = append(servers[mode], e.Targets[i].Addr)
		}
	}
	for i := range e.Brokers {
		if mode := e.Brokers[i].TLS.Mode(); mode != "" {
			brokers[mode] = append(brokers[mode], e.Brokers[i].Addr)
		}
	}
	tell := func(what string, modes map[string][]string) {
		if len(modes) < 2 {
			return
		}
		var parts []string
		for _, mode := range slices.Sorted(maps.Keys(modes)) {
			parts = append(parts, fmt.Sprintf("%s at %s", mode, few(modes[mode])))
		}
		find(Warning, what, strings.Join(parts, "; "))
	}
	tell("NameServers", servers)
	tell("brokers", brokers)
}

func certificateNearEnd(e *Evidence, find found) {
	look := func(addr string, t *TLSSeen) {
		if left := t.Ends.Sub(e.At); t.Secure && !t.Ends.IsZero() && left < certificateLeft {
			find(Warning, addr, fmt.Sprintf("the certificate of %q ends %s", t.Subject, t.Ends.UTC().Format("2006-01-02 15:04 MST")))
		}
	}
	for i := range e.Servers {
		look(e.Targets[i].Addr, &e.Servers[i].TLS)
	}
	for i := range e.Brokers {
		look(e.Brokers[i].Addr, &e.Brokers[i].TLS)
	}
}

func nameResolvesElsewhere(e *Evidence, find found) {
	var used []netip.AddrPort
	var names []string
	for i := range e.Brokers {
		for _, one := range e.Brokers[i].List {
			addrs := e.resolved(one)
			if len(addrs) == 0 {
				return // it may be a name of the broker's network
			}
			used = append(used, addrs...)
			names = append(names, one)
		}
	}
	loopback := func(a netip.AddrPort) bool { return a.Addr().IsLoopback() }
	if len(used) == 0 || slices.ContainsFunc(used, loopback) {
		return
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, t := range e.Targets {
		addrs := e.resolved(t.Name)
		if len(addrs) == 0 || t.Name == t.Addr || slices.ContainsFunc(addrs, loopback) {
			continue
		}
		if at, err := netip.ParseAddrPort(t.Addr); err == nil && !slices.Contains(used, at) {
			find(Warning, t.Name, fmt.Sprintf("it leads to %s, at which no broker registers: theirs are %s", t.Addr, few(names)))
		}
	}
}
