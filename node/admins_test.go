package node

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// adminsOf takes changes from there alone, and believes this machine's PROXY headers: a test connects as whom it likes.
func adminsOf(prefixes ...string) func(*config.Config) {
	return func(c *config.Config) {
		proxyFromHere(c)
		for _, p := range prefixes {
			c.AdminFrom = append(c.AdminFrom, netip.MustParsePrefix(p))
		}
	}
}

// ownHeader is that of a REGISTER or an UNREGISTER of a broker of that name.
func ownHeader(name, addr string) map[string]string {
	header := brokerHeader("0")
	header["brokerName"], header["brokerAddr"] = name, addr
	return header
}

func queuesOf(brokers ...string) string {
	var all []string
	for _, b := range brokers {
		all = append(all, fmt.Sprintf(`{"brokerName":%q,"perm":6,"readQueueNums":4,"writeQueueNums":4,"topicSysFlag":0}`, b))
	}
	return `{"queueDatas":[` + strings.Join(all, ",") + `]}`
}

// change is a request that changes something for others.
type change struct {
	code int32
	ext  map[string]string
	body string
}

var changesForOthers = []change{
	{remoting.PutKVConfig, map[string]string{"namespace": "N", "key": "k", "value": "other"}, ""},
	{remoting.DeleteKVConfig, map[string]string{"namespace": "N", "key": "k"}, ""},
	{remoting.WipeWritePermOfBroker, map[string]string{"brokerName": "b0"}, ""},
	{remoting.DeleteTopicInNamesrv, map[string]string{"topic": "TA"}, ""},
	{remoting.DeleteTopicInNamesrv, map[string]string{"topic": "TA", "clusterName": "C1"}, ""},
	{remoting.RegisterTopicInNamesrv, map[string]string{"topic": "TN"}, queuesOf("b0")},
	{remoting.RegisterTopicInNamesrv, map[string]string{"topic": "TN"}, queuesOf("nobody")},
	{remoting.RegisterTopicInNamesrv, map[string]string{"topic": "TN"}, ""},
	{remoting.UpdateNamesrvConfig, nil, "enableTopicList=false"},
	{remoting.AddWritePermOfBroker, map[string]string{"brokerName": "b0"}, ""},
	{remoting.UnregisterBroker, ownHeader("b0", "1.1.1.1:10911"), ""},
	{remoting.UnregisterBroker, ownHeader("nobody", "1.1.1.9:1"), ""},
	{remoting.UnregisterBroker, map[string]string{"brokerName": "b0"}, ""},
}

// state is what those requests could change.
func (n *Node) state() string {
	value, _ := n.kv.Get("N", "k")
	text := value + fmt.Sprintln(n.runtime.Options().EnableTopicList, registrations(n))
	for _, topic := range []string{"TA", "TB", "TN"} {
		if r, ok := n.table.RouteInfo([]byte(topic)); ok {
			text += fmt.Sprintln(topic, r.Queues)
		}
	}
	return text
}

func wantRefused(t *testing.T, what string, a *remoting.Command, addr string) {
	t.Helper()
	if a.Code != remoting.NoPermission || !kit.ContainsAll(a.Remark, "--admin-from", addr) {
		t.Errorf("%s: %d %q, want 16 with --admin-from and %s", what, a.Code, a.Remark, addr)
	}
}

// Without --admin-from everybody may do all of it; with it nobody from elsewhere, and nothing of it is done.
func TestAdminFrom(t *testing.T) {
	var log lockedBuffer
	n := startNodeTo(t, slog.NewTextHandler(&log, nil), adminsOf("10.1.0.0/16"))
	admin := dialBehind(t, n, "10.1.2.3")
	ask(t, dialBehind(t, n, "10.2.0.1"), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	ask(t, admin, remoting.PutKVConfig, map[string]string{"namespace": "N", "key": "k", "value": "v"}, "")
	before := n.state()
	stranger := dialBehind(t, n, "10.9.9.9")
	for _, c := range changesForOthers {
		wantRefused(t, fmt.Sprint(c), ask(t, stranger, c.code, c.ext, c.body), "10.9.9.9")
	}
	if now := n.state(); now != before {
		t.Errorf("before:\n%s\nafter what was refused:\n%s", before, now)
	}
	if !kit.ContainsAll(log.String(), "change refused: its sender is not in --admin-from", "code=205 name=WIPE_WRITE_PERM_OF_BROKER", "source=10.9.9.9") {
		t.Error(log.String())
	}
	// What changes nothing for others is for everybody.
	for _, c := range []change{
		{remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, ""}, {remoting.GetBrokerClusterInfo, nil, ""},
		{remoting.GetKVConfig, map[string]string{"namespace": "N", "key": "k"}, ""}, {remoting.GetAllTopicList, nil, ""},
		{remoting.GetNamesrvConfig, nil, ""}, {remoting.RegisterBroker, ownHeader("s0", "1.1.1.2:1"), twoTopics},
		{remoting.BrokerHeartbeat, map[string]string{"clusterName": "C1", "brokerAddr": "1.1.1.2:1"}, ""},
	} {
		if a := ask(t, stranger, c.code, c.ext, c.body); a.Code != 0 {
			t.Errorf("%v: %d %s", c, a.Code, a.Remark)
		}
	}
	for _, c := range changesForOthers {
		if a := ask(t, admin, c.code, c.ext, c.body); a.Code != 0 {
			t.Errorf("%v from an admin: %d %s", c, a.Code, a.Remark)
		}
	}
	every := startNode(t, nil)
	for _, c := range changesForOthers {
		if a := ask(t, dialBehind(t, every, "10.9.9.9"), c.code, c.ext, c.body); a.Code != 0 {
			t.Errorf("%v by default: %d %s", c, a.Code, a.Remark)
		}
	}
}

// A broker need not be an admin to tell of its own topics and to leave, on whatever connection, as long as that is all that its
// request touches.
func TestAdminFromSparesOwners(t *testing.T) {
	n := startNode(t, adminsOf("10.1.0.0/16"))
	own, victim := dialBehind(t, n, "10.2.0.1"), dialBehind(t, n, "10.2.0.2")
	ask(t, own, remoting.RegisterBroker, ownHeader("own", "1.1.1.1:1"), twoTopics)
	ask(t, victim, remoting.RegisterBroker, ownHeader("victim", "1.1.1.2:1"), twoTopics)
	again := dialBehind(t, n, "10.2.0.1")
	topic := map[string]string{"topic": "TN"}
	if a := ask(t, again, remoting.RegisterTopicInNamesrv, topic, queuesOf("own")); a.Code != 0 {
		t.Errorf("its own topic: %d %s", a.Code, a.Remark)
	}
	if r, ok := n.table.RouteInfo([]byte("TN")); !ok || len(r.Queues) != 1 {
		t.Errorf("its own topic is not there: %v", r)
	}
	wantRefused(t, "another's topic", ask(t, again, remoting.RegisterTopicInNamesrv, topic, queuesOf("victim")), "10.2.0.1")
	wantRefused(t, "another's beside its own", ask(t, again, remoting.RegisterTopicInNamesrv, topic, queuesOf("own", "victim")), "10.2.0.1")
	for what, header := range map[string]map[string]string{
		"another's":                        ownHeader("victim", "1.1.1.2:1"),
		"another's address under its name": ownHeader("own", "1.1.1.2:1"),
		"its address under another's name": ownHeader("victim", "1.1.1.1:1"),
		"nobody's address under its name":  ownHeader("own", "1.1.1.3:1"),
	} {
		wantRefused(t, what, ask(t, own, remoting.UnregisterBroker, header, ""), "10.2.0.1")
	}
	if got := registrations(n); got != 2 {
		t.Fatalf("%d registrations, want 2", got)
	}
	if a := ask(t, again, remoting.UnregisterBroker, ownHeader("own", "1.1.1.1:1"), ""); a.Code != 0 || registrations(n) != 1 {
		t.Errorf("its own: %d %s, %d registrations left", a.Code, a.Remark, registrations(n))
	}
}

// Who is an admin is not what a PROXY header says that nobody believes; and the log says who asked for the end of a broker that was
// not his.
func TestAdminFromGoesByTheSource(t *testing.T) {
	var log lockedBuffer
	n := startNodeTo(t, slog.NewTextHandler(&log, nil), func(c *config.Config) { c.AdminFrom = mq.Networks{netip.MustParsePrefix("10.1.0.0/16")} })
	ask(t, dial(t, n), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	for _, c := range changesForOthers {
		wantRefused(t, fmt.Sprint(c), ask(t, dialBehind(t, n, "10.1.2.3"), c.code, c.ext, c.body), "127.0.0.1 (sent a PROXY header that is not believed)")
	}
	if registrations(n) != 1 {
		t.Error("the broker is gone")
	}
	here := startNodeTo(t, slog.NewTextHandler(&log, nil), func(c *config.Config) { c.AdminFrom = mq.Networks{netip.MustParsePrefix("127.0.0.1/32")} })
	ask(t, dial(t, here), remoting.RegisterBroker, brokerHeader("0"), twoTopics)
	if a := ask(t, dialBehind(t, here, "10.9.9.9"), remoting.UnregisterBroker, brokerHeader("0"), ""); a.Code != 0 || registrations(here) != 0 {
		t.Errorf("from the peer of a header: %d %s", a.Code, a.Remark)
	}
	if !kit.ContainsAll(log.String(), "broker unregistered", "by=10.9.9.9:4711", "by_source=127.0.0.1") {
		t.Error(log.String())
	}
}
