package wire

import (
	"fmt"
	"slices"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// actingSlave is a slave with topics of its own under a name whose master never registered.
func actingSlave(prefix, acting string) broker {
	b := newBroker(prefix)
	b.id, b.acting = 1, acting
	return b
}

func TestRow101OldSlaveAloneHasNoTopics(t *testing.T) {
	c := shared(t).dial(t)
	b := actingSlave("r101", "")
	c.register(b)
	c.Refused(routeRequest(b.t1()), 17, "")
	if got := c.clusterInfo().BrokerAddrTable[b.name]; got.addrs() != "1="+b.addr {
		t.Fatal(got.addrs())
	}
}

func TestRow102SlaveAloneFullPermission(t *testing.T) {
	c := shared(t).dial(t)
	b := actingSlave("r102", "false")
	c.register(b)
	if q := c.queueOf(b.t1(), b.name); q.Perm != 6 {
		t.Fatal(q)
	}
	second := b
	second.id, second.addr, second.topics = 2, address(), []topic{rw(b.name + "-S2"), rw(b.name + "-S3")}
	c.register(second) // not the smallest id: changes nothing
	c.Refused(routeRequest(b.name+"-S2"), 17, "")
}

func TestRow103ActingSlaveLosesWrite(t *testing.T) {
	c := shared(t).dial(t)
	b := actingSlave("r103", "true")
	b.topics[1].perm = 7
	c.register(b)
	if q := c.queueOf(b.t1(), b.name); q.Perm != 4 {
		t.Fatal(q)
	}
	if q := c.queueOf(b.t2(), b.name); q.Perm != 5 {
		t.Fatal(q)
	}
}

func TestRow104ActingMasterNeedsEverything(t *testing.T) {
	c := own(t, options{}).dial(t)
	b, full := actingSlave("r104", "true"), actingSlave("r104", "false")
	c.register(b)
	c.register(full)
	shows := func(when string, b broker, wanted string) {
		t.Helper()
		for _, version := range []int{317, 401} {
			r := routeRequest(b.t1())
			r.Version = version
			var out route
			decode(t, c.OK(r), &out)
			want(t, when, out.broker(b.name).addrs(), wanted)
		}
	}
	shows("option off", b, "1="+b.addr)
	c.config("supportActingMaster=true")
	shows("all three", b, "0="+b.addr)
	shows("broker without it", full, "1="+full.addr)
	c.OK(kit.Request{Code: 327, Ext: map[string]string{"brokerName": b.name}})
	shows("writable", b, "1="+b.addr)
	c.OK(kit.Request{Code: 205, Ext: map[string]string{"brokerName": b.name}})
	shows("wiped", b, "0="+b.addr)
	c.config("supportActingMaster=false")
	shows("option off again", b, "1="+b.addr)
}

func TestRow105ActingMasterLifeCycle(t *testing.T) {
	s := own(t, options{properties: map[string]string{"supportActingMaster": "true"}})
	c := s.dial(t)
	for _, leave := range []string{"unregister", "disconnect"} {
		t.Run(leave, func(t *testing.T) {
			lifeCycle(t, s, c, leave)
		})
	}
}

func lifeCycle(t *testing.T, s *server, c *client, leave string) {
	master := newBroker("r105")
	master.acting = "true"
	master.topics[1].perm = 7
	slave1, slave2 := master, master
	slave1.id, slave1.addr = 1, address()
	slave2.id, slave2.addr = 2, address()
	shows := func(when string, perm1, perm2 int, addrs string) {
		t.Helper()
		eventually(t, kit.Patience, func() error {
			r, err := c.tryRoute(master.t1())
			if err != nil {
				return fmt.Errorf("%s: %w", when, err)
			}
			q1, q2 := r.queue(master.name).Perm, c.queueOf(master.t2(), master.name).Perm
			if got := r.broker(master.name).addrs(); got != addrs || q1 != perm1 || q2 != perm2 {
				return fmt.Errorf("%s: %s, permissions %d and %d; want %s, %d and %d", when, got, q1, q2, addrs, perm1, perm2)
			}
			return nil
		})
	}
	c.register(slave1)
	shows("slave 1 alone", 4, 5, "0="+slave1.addr)
	c.register(slave2)
	shows("two slaves", 4, 5, "0="+slave1.addr+" 2="+slave2.addr)
	all := "0=" + master.addr + " 1=" + slave1.addr + " 2=" + slave2.addr
	mc := s.dial(t)
	mc.register(master)
	shows("master", 6, 7, all)
	c.register(slave1)
	shows("slave again", 6, 7, all)
	if leave == "unregister" {
		mc.OK(master.unregister())
	} else {
		mc.Close()
	}
	shows("master gone", 4, 5, "0="+slave1.addr+" 2="+slave2.addr)
	c.register(master)
	shows("master back with the same data version", 6, 7, all)
}

func TestRow106RealIDsMeanwhile(t *testing.T) {
	c := own(t, options{properties: map[string]string{"supportActingMaster": "true"}}).dial(t)
	b := actingSlave("r106", "true")
	c.register(b)
	want(t, "route", c.route(b.t1()).broker(b.name).addrs(), "0="+b.addr)
	got := c.clusterInfo().BrokerAddrTable[b.name]
	want(t, "106", got.addrs(), "1="+b.addr)
	want(t, "901", string(c.OK(kit.Request{Code: 901, Ext: map[string]string{"clusterName": b.cluster, "brokerName": b.name}}).Body),
		`{"brokerMemberGroup":{"brokerAddrs":{1:"`+b.addr+`"},"brokerName":"`+b.name+`","cluster":"`+b.cluster+`"}}`)
}

func TestRow107SyncTopicExempt(t *testing.T) {
	c := own(t, options{properties: map[string]string{"supportActingMaster": "true"}}).dial(t)
	b := actingSlave("r107", "true")
	sync := "rmq_sys_SYNC_BROKER_MEMBER_" + b.name
	b.topics = append(b.topics, topic{sync, 1, 1, 1, 0})
	c.register(b)
	want(t, "sync topic", c.route(sync).broker(b.name).addrs(), "1="+b.addr)
	want(t, "other topic", c.route(b.t1()).broker(b.name).addrs(), "0="+b.addr)
}

func TestRow108SmallestRemainingActs(t *testing.T) {
	c := own(t, options{properties: map[string]string{"supportActingMaster": "true"}}).dial(t)
	b := actingSlave("r108", "true")
	second := b
	second.id, second.addr = 2, address()
	c.register(b)
	c.register(second)
	want(t, "two", c.route(b.t1()).broker(b.name).addrs(), "0="+b.addr+" 2="+second.addr)
	c.OK(b.unregister())
	eventually(t, kit.Patience, func() error {
		if got := c.route(b.t1()).broker(b.name).addrs(); got != "0="+second.addr {
			return fmt.Errorf("route shows %s", got)
		}
		return nil
	})
}

func TestRow109SecondCluster(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r109")
	c.register(b)
	first := b.cluster
	b.cluster = unique("second")
	c.register(b)
	info := c.clusterInfo()
	for _, cluster := range []string{first, b.cluster} {
		if !slices.Equal(info.ClusterAddrTable[cluster], []string{b.name}) {
			t.Fatalf("cluster %s: %v", cluster, info.ClusterAddrTable[cluster])
		}
	}
	want(t, "cluster of the broker", info.BrokerAddrTable[b.name].Cluster, first)
	want(t, "route", c.route(b.t1()).broker(b.name).Cluster, first)
}
