package survey

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/test/kit"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// healthy is what a doctor sees of two NameServers and a broker group with a replica.
func healthy() *Evidence {
	groups := []Group{{Cluster: "c", Broker: "a", Addrs: []body.BrokerAddr{{ID: 0, Addr: "10.0.0.1:10911"}, {ID: 1, Addr: "10.0.0.2:10911"}}}}
	view := func() *View {
		return &View{Version: 513, Groups: groups, Clusters: map[string][]string{"c": {"a"}}, Facts: Facts{}, Options: map[string]string{
			"configBlackList": "configBlackList;configStorePath;kvConfigPath", "scanNotActiveBrokerInterval": "5000",
			"enableControllerInNamesrv": "false", "supportActingMaster": "false",
		}}
	}
	broker := func(id int64, addr string) BrokerSeen {
		return BrokerSeen{BrokerKey: BrokerKey{"c", "a", id, addr}, At: []int{0, 1}, Answered: true, Version: 513, Offsets: []int64{1 << 30}, Disk: 0.5,
			HasClock: true, List: []string{"10.0.1.1:9876", "10.0.1.2:9876"}, HasList: true, TLS: TLSSeen{Tried: true, Plain: true, Secure: true, Test: true}}
	}
	e := &Evidence{
		At: noon, Settle: 5 * time.Second, Targets: []Target{{"10.0.1.1:9876", "10.0.1.1:9876"}, {"10.0.1.2:9876", "10.0.1.2:9876"}},
		Diff:    &Result{Views: []*View{view(), view()}},
		Servers: []ServerSeen{{Times: []time.Duration{time.Millisecond}, TLS: TLSSeen{Tried: true, Plain: true}}, {TLS: TLSSeen{Tried: true, Plain: true, Secure: true, Test: true, Ends: noon}}},
		Brokers: []BrokerSeen{broker(0, "10.0.0.1:10911"), broker(1, "10.0.0.2:10911")},
		Names:   map[string][]netip.Addr{"10.0.1.1": {netip.MustParseAddr("10.0.1.1")}, "10.0.1.2": {netip.MustParseAddr("10.0.1.2")}},
		topics:  &topicStats{},
	}
	e.Servers[1].TLS.Ends = noon.AddDate(10, 0, 0)
	t := newTopics(2)
	for _, name := range []string{"orders", "%RETRY%g", "rmq_sys_SYNC_BROKER_MEMBER_a"} {
		t.mark(0, []byte(name))
	}
	e.topics.begin(t, e.Diff.Views)
	for server := range 2 {
		e.saw(server, "orders", "a", 8, 6)
		e.saw(server, "%RETRY%g", "a", 1, 6)
		e.saw(server, "rmq_sys_SYNC_BROKER_MEMBER_a", "a", 1, 1)
	}
	return e
}

func (e *Evidence) saw(server int, topic, broker string, queues, perm int32) {
	e.topics.saw(server, slices.Index(e.topics.names, topic), topic, &body.TopicRoute{Queues: []body.QueueData{{BrokerName: broker, ReadQueueNums: queues, WriteQueueNums: queues, Perm: perm}}})
}

func (e *Evidence) restat(saw func()) {
	t := newTopics(2)
	for _, name := range e.topics.names {
		t.mark(0, []byte(name))
	}
	e.topics = &topicStats{}
	e.topics.begin(t, e.Diff.Views)
	saw()
}

func (e *Evidence) tell(d Difference) { e.Diff.Told = append(e.Diff.Told, d) }

func values(texts ...string) (all []Value) {
	for _, text := range texts {
		all = append(all, Value{true, text != "", text})
	}
	return all
}

// Each finding is there under its condition, and not just below it.
func TestFindings(t *testing.T) {
	brokerA := Subject{Kind: KindBroker, Cluster: "c", Broker: "a"}
	for name, c := range map[string]struct {
		fault func(e *Evidence)
		want  string // DEGREE NAME: a part of what is told; with several, by |
	}{
		"healthy": {func(*Evidence) {}, ""},
		"silent":  {func(e *Evidence) { e.Diff.Views[0].Fault = &Fault{"10.0.1.1:9876", Refused, os.ErrClosed} }, "error nameserver-silent: nothing listens"},
		"slow": {func(e *Evidence) {
			e.Servers[0].Times = slices.Repeat([]time.Duration{301 * time.Millisecond}, 20)
			e.Servers[0].RTT = 100 * time.Millisecond
		}, "warning nameserver-slow: 19 of 20 answers took up to 301ms"},
		"slow, and then silent": {func(e *Evidence) { e.Servers[0].Times = slices.Repeat([]time.Duration{301 * time.Millisecond}, 5) },
			"warning nameserver-slow: 5 of 5 answers"},
		"not slow": {func(e *Evidence) {
			e.Servers[0].Times = slices.Repeat([]time.Duration{300 * time.Millisecond}, 20)
			e.Servers[0].RTT = 100 * time.Millisecond
		}, ""},
		"one slow answer":   {func(e *Evidence) { e.Servers[0].Times = append(slices.Repeat([]time.Duration{1}, 19), time.Second) }, ""},
		"partly registered": {func(e *Evidence) { e.tell(Difference{brokerA, values("10.0.0.1:10911", "")}) }, "error nameservers-disagree: not at 10.0.1.2|error broker-partly-registered: registrations do not arrive"},
		"list lacks one": {func(e *Evidence) {
			e.tell(Difference{brokerA, values("10.0.0.1:10911", "")})
			e.Brokers[0].List = e.Brokers[0].List[:1]
			e.Brokers[1].List = e.Brokers[1].List[:1]
		}, "error nameservers-disagree: a|error broker-partly-registered: does not name 10.0.1.2:9876"},
		"two masters": {func(e *Evidence) { e.tell(Difference{brokerA, values("10.0.0.1:10911", "10.0.0.9:10911")}) }, "error nameservers-disagree: a|error two-masters: 10.0.0.9:10911 at 10.0.1.2:9876"},
		"options differ": {func(e *Evidence) {
			e.tell(Difference{Subject{Kind: KindOption, Key: "clusterTest"}, values("true", "false")})
		}, "warning nameservers-disagree: clusterTest"},
		"no answer":       {func(e *Evidence) { e.Brokers[0].Dial, e.Brokers[0].DialError = Unreachable, "i/o timeout" }, "error broker-unreachable: although another"},
		"none is reached": {func(e *Evidence) { e.Brokers[0].Dial, e.Brokers[1].Dial = Unreachable, Unreachable }, "note broker-unreachable: not reachable|note broker-unreachable: not reachable"},
		"no answer, but to the node": {func(e *Evidence) {
			e.Brokers[0].Dial, e.Brokers[1].Dial = Unreachable, Unreachable
			e.Brokers[0].Node, e.Brokers[1].Node = &Tried{"n1", true, ""}, &Tried{"n1", true, ""}
		}, "note broker-unreachable: node n1 reaches it|note broker-unreachable: node n1 reaches it"},
		"no answer, nor to the node": {func(e *Evidence) {
			e.Brokers[0].Dial, e.Brokers[1].Dial = Unreachable, Unreachable
			e.Brokers[0].Node, e.Brokers[1].Node = &Tried{"n1", false, "i/o timeout"}, &Tried{"n1", true, ""}
		}, "error broker-unreachable: node n1 does not reach it: i/o timeout, although|note broker-unreachable: node n1 reaches it"},
		"nobody's answer": {func(e *Evidence) {
			e.Brokers[0].Dial, e.Brokers[0].Addr = Unreachable, "10.9.9.9:1"
			e.Brokers[0].Node = &Tried{"n1", false, "i/o timeout"}
		}, "error broker-unreachable: node n1 does not reach it"},
		"not to the node": {func(e *Evidence) { e.Brokers[0].Node = &Tried{"n1", false, "no route"} }, "note broker-unreachable: reached from here; node n1 does not"},
		"not to the node, but another is": {func(e *Evidence) {
			e.Brokers[0].Node, e.Brokers[1].Node = &Tried{"n1", false, "no route"}, &Tried{"n1", true, ""}
		}, "error broker-unreachable: no route, although"},
		"refused on the way": {func(e *Evidence) {
			e.Brokers[0].Dial, e.Brokers[0].Addr, e.Brokers[0].Node = Refused, "10.9.9.9:1", &Tried{"n1", true, ""}
		}, "note broker-unreachable: node n1 reaches it"},
		"refused, to the node, too": {func(e *Evidence) {
			e.Brokers[0].Dial, e.Brokers[0].Addr, e.Brokers[0].Node = Refused, "10.9.9.9:1", &Tried{"n1", false, "refused"}
		}, "error broker-listed-but-gone: still listed"},
		"gone": {func(e *Evidence) {
			e.Brokers[0].Dial, e.Brokers[1].Dial, e.Brokers[0].RefusedFor = Refused, Unreachable, 5*time.Second
		}, "error broker-listed-but-gone: for 5s|note broker-unreachable: not"},
		"slow broker":   {func(e *Evidence) { e.Brokers[0].Fault = &Fault{"x", Silent, os.ErrClosed} }, "warning broker-slow: did not answer"},
		"loopback":      {func(e *Evidence) { e.Brokers[0].Addr = "127.0.0.1:10911" }, "error broker-address-local: loopback"},
		"link-local":    {func(e *Evidence) { e.Brokers[0].Addr = "169.254.1.1:10911" }, "error broker-address-local: link-local"},
		"docker0":       {func(e *Evidence) { e.Brokers[0].Addr = "172.17.0.2:10911" }, "error broker-address-local: 172.17.0.0/16"},
		"docker's pool": {func(e *Evidence) { e.Brokers[0].Addr = "172.31.0.2:10911" }, "note broker-address-local: may be one of yours"},
		"all in docker0": {func(e *Evidence) {
			e.Brokers[0].Addr, e.Targets = "172.17.0.2:10911", []Target{{"172.17.0.3:9876", "172.17.0.3:9876"}, {"172.17.0.4:9876", "172.17.0.4:9876"}}
		}, ""},
		"all on one machine": {func(e *Evidence) {
			e.Brokers[0].Addr, e.Targets = "127.0.0.1:10911", []Target{{"127.0.0.1:9876", "127.0.0.1:9876"}, {"127.0.0.1:9877", "127.0.0.1:9877"}}
		}, ""},
		"two clusters": {func(e *Evidence) { e.Diff.Views[1].Clusters["d"] = []string{"a"} }, "error name-in-two-clusters: c and d"},
		"two names": {func(e *Evidence) {
			e.Brokers = append(e.Brokers, e.Brokers[0])
			e.Brokers[2].Broker = "z"
		}, "error address-under-two-names: a and z"},
		"no master": {func(e *Evidence) {
			for _, v := range e.Diff.Views {
				v.Groups = []Group{{Cluster: "c", Broker: "a", Addrs: []body.BrokerAddr{{ID: 1, Addr: "10.0.0.2:10911"}}}}
			}
		}, "error no-master: no replica acts"},
		"acting master": {func(e *Evidence) {
			for _, v := range e.Diff.Views {
				v.Groups = []Group{{Cluster: "c", Broker: "a", Acting: true, Addrs: []body.BrokerAddr{{ID: 1, Addr: "10.0.0.2:10911"}}}}
				v.Options["supportActingMaster"] = "true"
			}
		}, "warning no-master: a replica acts"},
		"not writable": {func(e *Evidence) {
			e.restat(func() {
				e.saw(0, "orders", "a", 8, 4)
				e.saw(0, "%RETRY%g", "a", 1, 6)
				e.saw(1, "%RETRY%g", "a", 1, 6)
			})
		}, "warning topic-no-writable-queue: orders"},
		"writable at one of them": {func(e *Evidence) {
			e.restat(func() { e.saw(0, "orders", "a", 8, 4); e.saw(1, "orders", "a", 8, 6); e.saw(0, "%RETRY%g", "a", 1, 6) })
		}, ""},
		"RocketMQ's own is not writable": {func(e *Evidence) {
			e.restat(func() {
				e.saw(0, "orders", "a", 8, 6)
				e.saw(0, "rmq_sys_SYNC_BROKER_MEMBER_a", "a", 1, 1)
				e.saw(0, "%RETRY%g", "a", 1, 4)
			})
		}, ""},
		"wiped at one": {func(e *Evidence) {
			e.restat(func() { e.saw(0, "orders", "a", 8, 4); e.saw(1, "orders", "a", 8, 6) })
		}, "warning broker-read-only: wipeWritePerm) at 10.0.1.1:9876, and not at 10.0.1.2:9876"},
		"read-only": {func(e *Evidence) {
			e.restat(func() { e.saw(0, "orders", "a", 8, 4); e.saw(1, "orders", "a", 8, 4) })
		}, "warning topic-no-writable-queue: orders|warning broker-read-only: brokerPermission"},
		"on one NameServer": {func(e *Evidence) {
			e.restat(func() { e.saw(0, "orders", "a", 8, 6) })
			e.tell(Difference{Subject{Kind: KindTopic, Topic: "orders", Broker: "a"}, values("read 8 write 8 perm rw", "")})
		}, "error nameservers-disagree: orders|warning topic-on-one-nameserver: only there: orders"},
		"only a part of a topic on one NameServer": {func(e *Evidence) {
			e.tell(Difference{Subject{Kind: KindTopic, Topic: "orders", Broker: "a"}, values("read 8 write 8 perm rw", "")})
		}, "error nameservers-disagree: orders"},
		"queue numbers": {func(e *Evidence) {
			e.Diff.Views[0].Groups = append(slices.Clone(e.Diff.Views[0].Groups), Group{Cluster: "c", Broker: "b", Addrs: []body.BrokerAddr{{ID: 0, Addr: "10.0.0.3:10911"}}})
			e.restat(func() {
				e.topics.saw(0, slices.Index(e.topics.names, "orders"), "orders", &body.TopicRoute{Queues: []body.QueueData{{BrokerName: "a", ReadQueueNums: 8, WriteQueueNums: 8, Perm: 6}, {BrokerName: "b", ReadQueueNums: 8, WriteQueueNums: 4, Perm: 6}}})
			})
		}, "note queue-numbers-differ: orders"},
		"order configuration": {func(e *Evidence) {
			e.Diff.Views[0].Facts[Subject{Kind: KindOrder, Topic: "orders"}] = "a:4;z:8"
			e.restat(func() { e.saw(0, "orders", "a", 8, 6) })
		}, "warning order-conf-stale: broker z|warning order-conf-stale: 4 queues at broker a, which has 8"},
		"order configuration of a topic that nobody has": {func(e *Evidence) {
			e.Diff.Views[0].Facts[Subject{Kind: KindOrder, Topic: "nobody's"}] = "a:8"
		}, "warning order-conf-stale: broker a, which does not serve"},
		"order configuration of a topic whose route was not seen": {func(e *Evidence) {
			e.Diff.Views[0].Facts[Subject{Kind: KindOrder, Topic: "orders"}] = "a:8"
			e.restat(func() {})
		}, ""},
		"order configuration where no topics were seen": {func(e *Evidence) {
			e.Diff.Views[0].Facts[Subject{Kind: KindOrder, Topic: "orders"}] = "a:8"
			e.topics = &topicStats{}
		}, ""},
		"order configuration that holds": {func(e *Evidence) {
			e.Diff.Views[0].Facts[Subject{Kind: KindOrder, Topic: "orders"}] = "a:8"
			e.restat(func() { e.saw(0, "orders", "a", 8, 6) })
		}, ""},
		"large":              {func(e *Evidence) { e.Servers[0].Large = map[string]int{"the list of topics": 8<<20 + 1} }, "warning route-near-frame-limit: the list of topics has 8.0 MiB"},
		"very large":         {func(e *Evidence) { e.Servers[0].Large = map[string]int{"the route of T": 15<<20 + 1} }, "error route-near-frame-limit: T"},
		"not so large":       {func(e *Evidence) { e.Servers[0].Large = map[string]int{"the route of T": 8 << 20} }, ""},
		"clock":              {func(e *Evidence) { e.Brokers[0].Clock = -5 * time.Second }, "warning clock-apart: 5s behind that of"},
		"clock just right":   {func(e *Evidence) { e.Brokers[0].Clock = 4999 * time.Millisecond }, ""},
		"this machine":       {func(e *Evidence) { e.Brokers[0].Clock, e.Brokers[1].Clock = time.Minute, time.Minute+time.Second }, "warning clock-apart: its own clock"},
		"versions in groups": {func(e *Evidence) { e.Brokers[1].Version = 407 }, "warning broker-versions-mixed: 4.9.7 and 5.5.0|note broker-versions-mixed: 4.9.7 and 5.5.0"},
		"versions":           {func(e *Evidence) { e.Brokers[1].Version = 479 }, "note broker-versions-mixed: 5.3.3 and 5.5.0"},
		"behind": {func(e *Evidence) {
			e.Brokers[0].Offsets, e.Brokers[1].Offsets = []int64{1 << 30, 1 << 30, 1 << 30}, []int64{0, 0, 1<<30 - 64<<20 - 1}
		}, "warning replica-behind: by 64 MiB"},
		"caught up at last": {func(e *Evidence) {
			e.Brokers[0].Offsets, e.Brokers[1].Offsets = []int64{1 << 30, 1 << 30, 1 << 30}, []int64{0, 0, 1<<30 - 64<<20}
		}, ""},
		"disk":           {func(e *Evidence) { e.Brokers[0].Disk, e.Brokers[1].Disk = 0.75, 0.85 }, "error disk-nearly-full: 85%|warning disk-nearly-full: 75%"},
		"disk with room": {func(e *Evidence) { e.Brokers[0].Disk = 0.749 }, ""},
		"lists differ":   {func(e *Evidence) { e.Brokers[0].List = []string{"10.0.1.1:9876"} }, "warning address-list-partial: 10.0.1.1:9876 at a/0"},
		"black list":     {func(e *Evidence) { e.Diff.Views[0].Options["configBlackList"] = ";" }, "warning option-dangerous: configBlackList"},
		"no black list":  {func(e *Evidence) { delete(e.Diff.Views[0].Options, "configBlackList") }, ""},
		"scan":           {func(e *Evidence) { e.Diff.Views[0].Options["scanNotActiveBrokerInterval"] = "60001" }, "warning option-dangerous: scanNotActive"},
		"scan of a day":  {func(e *Evidence) { e.Diff.Views[0].Options["scanNotActiveBrokerInterval"] = "999" }, "warning option-dangerous: scanNotActive"},
		"scan at limits": {func(e *Evidence) {
			e.Diff.Views[0].Options["scanNotActiveBrokerInterval"] = "1000"
			e.Diff.Views[1].Options["scanNotActiveBrokerInterval"] = "60000"
		}, ""},
		"controller": {func(e *Evidence) { e.Diff.Views[0].Options["enableControllerInNamesrv"] = "true" }, "warning option-dangerous: true at 10.0.1.1"},
		"TLS alone at one": {func(e *Evidence) {
			e.Servers[0].TLS = TLSSeen{Tried: true, Secure: true, Ends: noon.AddDate(1, 0, 0)}
		}, "warning tls-modes-differ: TLS alone at 10.0.1.1:9876; plain text at 10.0.1.2:9876"},
		"TLS alone at one of each": {func(e *Evidence) {
			e.Servers[0].TLS = TLSSeen{Tried: true, Secure: true, Ends: noon.AddDate(1, 0, 0)}
			e.Brokers[0].TLS = e.Servers[0].TLS
		}, "warning tls-modes-differ: NameServers|warning tls-modes-differ: brokers"},
		"certificate": {func(e *Evidence) { e.Servers[1].TLS.Ends = noon.AddDate(0, 0, 29) }, "warning certificate-near-end: 2026-12-27"},
		"name leads away": {func(e *Evidence) {
			e.Targets[0] = Target{"ns:9876", "10.0.9.9:9876"}
			e.Names["ns"] = []netip.Addr{netip.MustParseAddr("10.0.9.9")}
		}, "warning name-resolves-elsewhere: 10.0.9.9:9876"},
		"name that holds": {func(e *Evidence) {
			e.Targets[0] = Target{"ns:9876", "10.0.1.1:9876"}
			e.Names["ns"] = []netip.Addr{netip.MustParseAddr("10.0.1.1")}
		}, ""},
	} {
		e := healthy()
		c.fault(e)
		var got []string
		for _, f := range Examine(e, nil, []string{"plain-admin"}) {
			got = append(got, fmt.Sprintf("%v %s: %s: %s", f.Degree, f.Name, f.About, f.Seen))
		}
		want := strings.Split(c.want, "|")
		if c.want == "" {
			want = nil
		}
		ok := len(got) == len(want)
		for i := range min(len(got), len(want)) {
			head, part, _ := strings.Cut(want[i], ": ")
			ok = ok && strings.HasPrefix(got[i], head+": ") && strings.Contains(got[i], part)
		}
		if !ok {
			t.Errorf("%s:\n  %s\nwant\n  %s", name, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
}

// Every finding has a section of its own, and none stands there that there is not.
func TestFindingsAreExplained(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(kit.Root(t), "docs", "doctor.md"))
	kit.Must(t, err)
	var sections []string
	for _, m := range regexp.MustCompile(`(?m)^### (\S+)$`).FindAllSubmatch(text, -1) {
		sections = append(sections, string(m[1]))
	}
	if !slices.Equal(sections, Names()) {
		t.Errorf("docs/doctor.md explains\n%s\nand there are\n%s", sections, Names())
	}
	if e := healthy(); len(Examine(e, nil, nil)) != 1 || len(Examine(e, []string{"no-master"}, nil)) != 0 {
		t.Errorf("%v", Examine(e, nil, nil))
	}
}

func TestRuntimeOfBrokers(t *testing.T) {
	day := 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"[ 0 days, 0 hours, 1 minutes, 3 seconds ]":          63 * time.Second,
		"[ 1,234 days, 23 hours, 59 minutes, 59 seconds ]":   1234*day + 24*time.Hour - time.Second,
		"[ 1.234 days, 0 hours, 0 minutes, 1 seconds ]":      1234*day + time.Second,
		"[ 1\u202f234 days, 0 hours, 0 minutes, 1 seconds ]": 1234*day + time.Second,
		"": -1, "3 hours": -1, "[ 99999999999 days, 0 hours, 0 minutes, 0 seconds ]": -1,
	} {
		if got := parseRuntime(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// runtimeOf is the answer to 28 of a broker that began a minute ago by its own clock, which is ahead of this one.
func runtimeOf(version int, offset int64, disk string, ahead time.Duration) string {
	said := ""
	if version < 513 { // 5.5.0 does not say it there
		said = fmt.Sprintf(`"brokerVersion":"%d",`, version)
	}
	return fmt.Sprintf(`{"table":{%s"brokerVersionDesc":"V","bootTimestamp":"%d","runtime":"[ 0 days, 0 hours, 1 minutes, 0 seconds ]","commitLogMaxOffset":"%d","commitLogDiskRatio":"%s","putTps":"0.0 0.0 0.0"}}`,
		said, time.Now().Add(ahead-time.Minute).UnixMilli(), offset, disk)
}

// Brokers are asked by fakes that answer as real ones do; what they tell becomes findings, and nothing but that is sent.
func TestGather(t *testing.T) {
	a, b := newFake(t, 513), newFake(t, 513)
	master, replica := kit.NewScript(t, 513, 28, 26), kit.NewScript(t, 407, 28, 26)
	master.Says(28, runtimeOf(513, 1<<30, "0.9", 0))
	master.Says(26, "brokerName=a\nnamesrvAddr="+a.Addr+";"+b.Addr+"\npassword=hidden\n")
	replica.Says(28, runtimeOf(407, 0, "-1.0", time.Minute))
	replica.Says(26, "namesrvAddr="+a.Addr+"\n")
	mute := kit.NewScript(t, 513, 28, 26)
	mute.On(28, func(map[string]string) kit.Reply { return kit.Reply{Hang: true} })
	gone := kit.Loopback(kit.FreePort(t))
	for _, f := range []*fake{a, b} {
		f.Change(func(f *fake) {
			f.Brokers = map[string]string{"c/a/0": master.Addr, "c/a/1": replica.Addr, "c/b/0": gone, "c/d/0": mute.Addr}
		})
	}
	s := surveyOf(t, a, b)
	s.access.Timeout = 3 * time.Second
	e, err := s.Gather(t.Context())
	kit.Must(t, err)
	var got []string
	for _, f := range Examine(e, nil, nil) {
		got = append(got, f.Name)
	}
	want := []string{"broker-unreachable", "broker-listed-but-gone", "disk-nearly-full", "broker-slow", "clock-apart", "broker-versions-mixed", "replica-behind", "address-list-partial", "broker-versions-mixed", "plain-admin"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q\nwant %q", got, want)
	}
	if text := fmt.Sprintf("%+v", e.Brokers); strings.Contains(text, "hidden") {
		t.Errorf("a password was kept: %s", text)
	}
	if !slices.ContainsFunc(e.Missing(), func(m string) bool { return strings.Contains(m, mute.Addr) }) {
		t.Errorf("missing: %q", e.Missing())
	}
	if n := len(a.Requests()) + len(b.Requests()); e.Diff.Requests != n {
		t.Errorf("counted %d requests, %d came", e.Diff.Requests, n)
	}
}

// A low --rate is no slowness of those that are asked.
func TestTheRateIsNoSlowness(t *testing.T) {
	a := newFake(t, 513)
	a.Change(func(f *fake) { f.Brokers, f.Topics = map[string]string{}, nil })
	s := surveyOf(t, a)
	p := s.peers[0]
	p.pace = newPace(4)
	for p.pace.limit.Allow() {
	}
	began := time.Now()
	turn := p.pace.limit.Reserve().Delay() // of who comes before it
	_, took, err := p.timed(t.Context(), 219, nil)
	if waited := time.Since(began); err != nil || took > waited-turn {
		t.Errorf("took %v of %v, %v", took, waited, err)
	}
}

// Whoever advertises a loopback address to others is not asked: this machine would answer in its place.
func TestNobodysAddressIsNotAsked(t *testing.T) {
	away, here := []Target{{"ns:9876", "10.0.1.1:9876"}, {"x", "127.0.0.1:9876"}}, []Target{{"x", "127.0.0.1:9876"}, {"y", "[::1]:9876"}}
	for _, c := range []struct {
		addr    string
		targets []Target
		want    bool
	}{
		{"127.0.0.1:10911", away, true}, {"127.0.0.1:10911", here, false}, {"[::1]:10911", away, true}, {"0.0.0.0:10911", here, true},
		{"10.0.0.1:10911", away, false}, {"b:10911", away, false}, {"", away, false},
	} {
		if got := nobodys(c.addr, c.targets); got != c.want {
			t.Errorf("%s among %v: %v", c.addr, c.targets, got)
		}
	}
	asked := kit.NewScript(t, 513)
	s := &Survey{Targets: away, access: &Access{Timeout: time.Second, Rate: 1}}
	e := &Evidence{Brokers: []BrokerSeen{{BrokerKey: BrokerKey{Addr: asked.Addr}}}}
	s.brokersSeen(t.Context(), e)
	if b := e.Brokers[0]; b.Dial != "" || b.Answered || b.TLS.Tried || len(asked.Requests()) != 0 {
		t.Errorf("%+v", b)
	}
}

// Our node tries each address once, and is asked no more when it does not answer.
func TestOurNodeTries(t *testing.T) {
	a := newFake(t, 513)
	broker := kit.NewScript(t, 513, 28, 26)
	a.Change(func(f *fake) {
		f.Brokers = map[string]string{"c/a/0": broker.Addr, "c/b/0": broker.Addr, "c/d/0": kit.Loopback(kit.FreePort(t)), "c/e/0": kit.Loopback(kit.FreePort(t))}
	})
	s := surveyOf(t, a)
	var asked []string
	s.Try = func(_ context.Context, addr string) (*Tried, bool, error) {
		switch asked = append(asked, addr); len(asked) {
		case 1:
			return &Tried{"n1", true, ""}, true, nil
		case 2:
			return nil, false, errors.New("it is gone")
		}
		return nil, true, nil
	}
	e, err := s.Gather(t.Context())
	kit.Must(t, err)
	if len(asked) != 2 || e.Brokers[0].Node == nil || e.Brokers[1].Node == nil || e.Brokers[2].Node != nil || !slices.Contains(e.Missing(), "it is gone") {
		t.Errorf("asked %q, found %+v, missing %q", asked, e.Brokers, e.Missing())
	}
}

// Whoever gives a broker's address that is nobody's is told so, and nothing hangs.
func TestGatherAmongStrangers(t *testing.T) {
	a := newFake(t, 407)
	http := kit.Listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 16))
		_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	})
	babbles := kit.NewScript(t, 513, 28)
	babbles.Says(28, "{")
	a.Change(func(f *fake) {
		f.Brokers = map[string]string{"c/a/0": http, "c/b/0": "no-such.invalid:10911", "c/d/0": babbles.Addr, "c/e/0": ""}
	})
	s := surveyOf(t, a)
	s.access.Timeout = 3 * time.Second
	e, err := s.Gather(t.Context())
	kit.Must(t, err)
	if got := strings.Join(e.Missing(), "\n"); !kit.ContainsAll(got, http, babbles.Addr, "not RocketMQ's protocol", "no-such.invalid") {
		t.Errorf("missing: %s", got)
	}
}

// overTLS is a port that takes TLS alone and passes on what is in it.
func overTLS(t *testing.T, cert tls.Certificate, to string) string {
	return kit.Listen(t, func(c net.Conn) {
		secured := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		if err := secured.Handshake(); err != nil {
			return
		}
		behind, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		var both sync.WaitGroup
		for _, back := range []bool{false, true} {
			both.Go(func() {
				defer behind.Close()
				defer c.Close()
				kit.Bytes(behind, secured, back)
			})
		}
		both.Wait()
	})
}

// A NameServer that takes TLS alone is compared with one that takes plain text, and the doctor tells of both.
func TestTLSAlone(t *testing.T) {
	a, b := newFake(t, 513), newFake(t, 513)
	for _, f := range []*fake{a, b} {
		f.Change(func(f *fake) { f.Brokers = map[string]string{} })
	}
	secured := overTLS(t, kit.NewAuthority(t).Issue(t, "ns").TLS(), b.Addr)
	s := surveyOfAddrs(t, a.Addr, secured)
	e, err := s.Gather(t.Context())
	kit.Must(t, err)
	if !e.Diff.Agree() || !e.Diff.Complete() {
		t.Errorf("told %q, missing %q", told(e.Diff.Told), e.Diff.Missing)
	}
	var got []string
	for _, f := range Examine(e, nil, []string{"plain-admin"}) {
		got = append(got, f.Name)
	}
	if want := []string{"tls-modes-differ", "certificate-near-end"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q: %+v", got, want, e.Servers)
	}
}
