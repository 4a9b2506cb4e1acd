package node

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// manyTopics is the body of a REGISTER with n topics of that prefix. Its data version is n's.
func manyTopics(prefix string, n int) string {
	topics := make([]string, n)
	for i := range topics {
		topics[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return strings.Replace(string(kit.RegisterBody(topics...)), `"counter":1`, fmt.Sprintf(`"counter":%d`, n), 1)
}

// Whoever fills the tables is refused first, others later, and a broker that is listed never: of what it brings, what finds no room is
// left out, until there is room.
func TestTablesAreBounded(t *testing.T) {
	const limit = 1 << 20
	log := &kit.Log{}
	n := startNodeTo(t, slog.NewTextHandler(log, nil), func(c *config.Config) {
		proxyFromHere(c)
		c.Memory.Tables = limit
	})
	bytes := func() int64 { return n.table.Stats().Bytes }
	register := func(c *rpc.Client, name, body string) *remoting.Command {
		return ask(t, c, remoting.RegisterBroker, ownHeader(name, name+":1"), body)
	}
	honest, stranger := dialBehind(t, n, "10.0.0.1"), dialBehind(t, n, "10.6.6.6")
	if a := register(honest, "honest", manyTopics("honest", 10)); a.Code != 0 {
		t.Fatal(a)
	}
	fakes := 0
	for ; ; fakes++ {
		a := register(stranger, fmt.Sprint("fake", fakes), manyTopics(fmt.Sprint("fake", fakes), 200))
		if a.Code == remoting.SystemBusy && a.Remark == tablesFull {
			break
		}
		if a.Code != 0 || fakes > limit/1000 {
			t.Fatalf("fake %d: %v", fakes, a)
		}
	}
	if now := bytes(); now > limit/4*3 || now < limit/2 {
		t.Errorf("the stranger was refused at %d bytes, of %d", now, limit)
	}
	log.Await(t, "memory for the tables is short", "source=10.6.6.6", "refused=10.6.6.6", "broker=fake")
	for i := 0; ; i++ {
		topic := map[string]string{"topic": fmt.Sprint(i, strings.Repeat("x", 900))}
		a := ask(t, stranger, remoting.RegisterTopicInNamesrv, topic, queuesOf("honest"))
		if a.Code == remoting.SystemBusy {
			break
		}
		if a.Code != 0 || i > limit/900 {
			t.Fatalf("topic %d: %v", i, a)
		}
	}

	// What the stranger may not have is there for others, and for brokers that are listed all of it.
	if a := register(dialBehind(t, n, "10.0.0.2"), "second", manyTopics("second", 100)); a.Code != 0 {
		t.Fatalf("a broker of another source: %v", a)
	}
	if a := register(dialBehind(t, n, "10.0.0.3"), "third", manyTopics("third", 2000)); a.Code != remoting.SystemBusy {
		t.Fatalf("a broker for which there is no room: %v", a)
	}
	if a := register(stranger, "fake0", manyTopics("more", 2000)); a.Code != 0 || bytes() > limit/8*7 {
		t.Errorf("one of the stranger's that is listed: %v, %d bytes", a, bytes())
	}
	much := manyTopics("honest", 2000)
	if a := register(honest, "honest", much); a.Code != 0 {
		t.Errorf("a broker that is listed: %v", a)
	}
	if now := bytes(); now > limit || now < limit/8*7 {
		t.Errorf("with it the tables take %d bytes, of %d", now, limit)
	}
	log.Await(t, "registration taken in part", "broker=honest", "left_out=")
	changed := func() string {
		a := ask(t, honest, remoting.QueryDataVersion, ownHeader("honest", "honest:1"), `{"counter":2000,"timestamp":1700000000000,"stateVersion":0}`)
		return a.Ext["changed"]
	}
	if got := changed(); got != "true" {
		t.Errorf("it is not asked to register again: %q", got)
	}

	// When the stranger has gone, the same REGISTER brings what was left out.
	stranger.Close()
	kit.Until(t, "the stranger's brokers are gone", func() bool { return n.table.Stats().Brokers == 2 })
	register(honest, "honest", much)
	if _, ok := n.table.Route([]byte("honest-1999"), false); !ok {
		t.Error("what was left out is not there although there is room")
	}
	if got := changed(); got != "false" {
		t.Errorf("it is asked to register again although all is there: %q", got)
	}
}

// A source to which everything belongs, as where all brokers come through one balancer, gives way to nobody: what it may not have
// is kept for brokers that are listed. Whoever comes then from elsewhere finds room all the same, and from then on it gives first.
func TestSoleSourceHasWhatOthersHave(t *testing.T) {
	const limit = 1 << 20
	n := startNode(t, func(c *config.Config) {
		proxyFromHere(c)
		c.Memory.Tables = limit
	})
	bytes := func() int64 { return n.table.Stats().Bytes }
	register := func(c *rpc.Client, name string, topics int) *remoting.Command {
		return ask(t, c, remoting.RegisterBroker, ownHeader(name, name+":1"), manyTopics(name, topics))
	}
	fleet, other := dialBehind(t, n, "10.0.0.1"), dialBehind(t, n, "10.0.0.2")
	one := func(i int) *remoting.Command { return register(fleet, fmt.Sprint("fleet", i), 100) }
	brokers := 0
	for ; ; brokers++ {
		if a := one(brokers); a.Code == remoting.SystemBusy {
			break
		} else if a.Code != 0 || brokers > limit/1000 {
			t.Fatalf("broker %d: %v", brokers, a)
		}
	}
	if now := bytes(); now > limit/8*7 || now < limit/16*13 {
		t.Errorf("a source that holds all was refused at %d bytes, of %d", now, limit)
	}
	if a := register(other, "other", 300); a.Code != 0 || bytes() > limit {
		t.Errorf("a broker of another source: %v", a)
	}
	before := bytes()
	if a := register(fleet, "fleet0", 2000); a.Code != 0 || bytes() > max(before, limit/8*7)+1000 {
		t.Errorf("one of the fleet, with more topics: %v, %d bytes after %d", a, bytes(), before)
	}
	if a := register(other, "other", 3000); a.Code != 0 || bytes() < limit/16*15 || bytes() > limit {
		t.Errorf("the other one, listed, with more topics: %v, %d bytes", a, bytes())
	}
	if a := one(brokers + 1); a.Code != remoting.SystemBusy {
		t.Errorf("a broker more of the fleet: %v", a)
	}
}

// What a registration holds while it is read is charged as it grows.
func TestDecodedRegistrationsAreCharged(t *testing.T) {
	n := startNode(t, func(c *config.Config) {
		proxyFromHere(c)
		c.Memory.Passing = 2 << 20
	})
	used := func() int64 { return n.server.Stats().Memory }
	c := dialBehind(t, n, "10.0.0.1")
	reg := &body.Register{}
	for i := range 20_000 {
		reg.Topics = append(reg.Topics, body.TopicConfig{Name: fmt.Append(nil, "t-", i), Perm: 6})
	}
	packed, err := body.AppendRegisterCompressed(nil, reg, remoting.Version)
	kit.Must(t, err)
	for name, large := range map[string]string{"plain": manyTopics("t", 6000), "compressed": string(packed)} {
		t.Run(name, func(t *testing.T) {
			header := ownHeader(name, name+":1")
			if name == "compressed" {
				header["compressed"] = "true"
			}
			if a := ask(t, c, remoting.RegisterBroker, header, large); a.Code != remoting.SystemBusy || !strings.Contains(a.Remark, "--memory") {
				t.Errorf("a registration that needs more than there is: %d %s", a.Code, a.Remark)
			}
			delete(header, "compressed")
			if a := ask(t, c, remoting.RegisterBroker, header, manyTopics("t", 1000)); a.Code != 0 {
				t.Errorf("one that does not: %v", a)
			}
		})
	}
	kit.Until(t, "all is given back", func() bool { return used() < 64<<10 })
	many := strings.Repeat(queuesOf("a")[15:len(queuesOf("a"))-2]+",", 2000)
	if a := ask(t, c, remoting.RegisterTopicInNamesrv, map[string]string{"topic": "T"}, `{"queueDatas":[`+many+`{}]}`); a.Code != remoting.SystemBusy {
		t.Errorf("a 217 that needs more than there is: %v", a)
	}
}
