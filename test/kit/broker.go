// Package kit has a broker for tests that need none of Java's: it registers, unregisters and asks over real
// connections, as a 5.5.0 broker does.
package kit

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

// callTime bounds one request; a loaded machine is slow.
const callTime = 30 * time.Second

// Broker has one connection to each NameServer, which stays open until Close or the end of the test.
type Broker struct {
	Cluster, Name, Addr string
	ID                  int // 0 master, above 0 slave
	Topics              []string
	Single              bool // it has the topic of its name only, as no real broker does

	conns   map[string]*rpc.Client
	settled <-chan time.Time // fires when the newest REGISTER is old enough
}

// settleTime is between the newest REGISTER and an UNREGISTER. The bounds by which another node judges lose the way of its
// question, and what registered a moment before the departure is kept: real brokers live longer than that.
const settleTime = 2 * time.Second

// New makes a broker that is not registered anywhere. Like a real one it always has a topic of its own name: the
// registration of a single topic is refused at first.
func New(name, addr string, topics ...string) *Broker {
	return &Broker{Cluster: "DefaultCluster", Name: name, Addr: addr, Topics: topics, conns: map[string]*rpc.Client{}}
}

// Register sends a REGISTER to server.
func (b *Broker) Register(t testing.TB, server string) {
	t.Helper()
	b.expect(t, server, remoting.RegisterBroker, b.body())
	b.settled = time.After(settleTime)
}

// TryRegister is Register that may be refused.
func (b *Broker) TryRegister(t testing.TB, server string) (*remoting.Command, error) {
	t.Helper()
	return b.Call(t, server, remoting.RegisterBroker, b.body())
}

// Unregister sends an UNREGISTER to server. The connection stays open, so that nothing but it can make server forget.
func (b *Broker) Unregister(t testing.TB, server string) {
	t.Helper()
	if b.settled != nil {
		<-b.settled
		b.settled = nil
	}
	b.expect(t, server, remoting.UnregisterBroker, nil)
}

// Use makes it speak to server on a connection that it shares with others.
func (b *Broker) Use(server string, conn *rpc.Client) { b.conns[server] = conn }

// Close loses all connections, as a crash does.
func (b *Broker) Close() {
	for server, c := range b.conns {
		_ = c.Close()
		delete(b.conns, server)
	}
}

func (b *Broker) expect(t testing.TB, server string, code int32, body []byte) {
	t.Helper()
	answer, err := b.Call(t, server, code, body)
	if err != nil || answer.Code != remoting.Success {
		t.Fatalf("%s at %s, request %d: %+v, %v", b.Name, server, code, answer, err)
	}
}

// Call sends one request in the broker's name. The answer may be a refusal.
func (b *Broker) Call(t testing.TB, server string, code int32, body []byte) (*remoting.Command, error) {
	t.Helper()
	c := b.conns[server]
	if c == nil {
		var err error
		if c, err = Dial(server); err != nil {
			t.Fatal(err)
		}
		b.conns[server] = c
		t.Cleanup(func() { _ = c.Close() })
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	return c.Invoke(ctx, &remoting.Command{Code: code, Version: remoting.Version, Body: body, Ext: map[string]string{
		"brokerName": b.Name, "brokerAddr": b.Addr, "clusterName": b.Cluster, "brokerId": strconv.Itoa(b.ID), "haServerAddr": b.Addr + "1",
		"enableActingMaster": "false", "compressed": "false",
		"bodyCrc32": strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)&0x7fffffff), 10),
	}})
}

type topicConfig struct {
	Topic string `json:"topicName"`
	Read  int    `json:"readQueueNums"`
	Write int    `json:"writeQueueNums"`
	Perm  int    `json:"perm"`
}

func (b *Broker) body() []byte {
	topics := map[string]topicConfig{}
	names := []string{b.Name}
	if !b.Single {
		names = append(append(names, b.Cluster), b.Topics...)
	}
	for _, t := range names {
		topics[t] = topicConfig{t, 4, 4, 6}
	}
	body, err := json.Marshal(map[string]any{
		"filterServerList": []string{},
		"topicConfigSerializeWrapper": map[string]any{
			"dataVersion":      map[string]any{"counter": 1, "stateVersion": 0, "timestamp": 1700000000000},
			"topicConfigTable": topics,
		},
	})
	if err != nil {
		panic(err) // plain strings and numbers
	}
	return body
}

// Dial connects to a NameServer.
func Dial(server string) (*rpc.Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	return rpc.Dial(ctx, server, rpc.DefaultClientConfig())
}

// Ask sends one request on a connection of its own.
func Ask(server string, code int32, ext map[string]string) (*remoting.Command, error) {
	c, err := Dial(server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	return c.Invoke(ctx, &remoting.Command{Code: code, Version: remoting.Version, Ext: ext})
}

// Serves says whether server hands out topic at addr.
func Serves(server, topic, addr string) (bool, error) {
	answer, err := Ask(server, remoting.GetRouteInfoByTopic, map[string]string{"topic": topic})
	switch {
	case err != nil:
		return false, err
	case answer.Code == remoting.TopicNotExist:
		return false, nil
	case answer.Code != remoting.Success:
		return false, fmt.Errorf("route of %s: %d %s", topic, answer.Code, answer.Remark)
	}
	return strings.Contains(string(answer.Body), `"`+addr+`"`), nil
}

// Await waits until the condition holds; why says what is still wrong.
func Await(t testing.TB, within time.Duration, what string, holds func() (ok bool, why string)) time.Duration {
	t.Helper()
	started := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, why := holds()
		if ok {
			return time.Since(started)
		}
		if time.Since(started) > within {
			t.Fatalf("waited %v in vain until %s: %s", within, what, why)
		}
		<-tick.C
	}
}

// AwaitServes waits until server hands out topic at addr, or no longer does.
func AwaitServes(t testing.TB, within time.Duration, server, topic, addr string, want bool) time.Duration {
	t.Helper()
	return Await(t, within, fmt.Sprintf("%s serves %s of %s: %v", server, topic, addr, want), func() (bool, string) {
		got, err := Serves(server, topic, addr)
		return err == nil && got == want, fmt.Sprint(got, " ", err)
	})
}
