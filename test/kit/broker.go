package kit

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting/body"
)

// settleTime is between the newest REGISTER and an UNREGISTER. The bounds by which another node judges lose the way of its
// question, and what registered a moment before the departure is kept: real brokers live longer than that.
const settleTime = 2 * time.Second

// Ages waits until what has registered is old enough to be judged by a departure. A Broker's Unregister does so by itself.
func Ages(t testing.TB) {
	t.Helper()
	select {
	case <-time.After(settleTime):
	case <-t.Context().Done():
		t.FailNow()
	}
}

// registerTime is a 5.x broker's patience for a REGISTER.
const registerTime = 24 * time.Second

// Broker says on the wire what a Java broker says, and starts and stops a thousand times faster. It has one connection to
// each NameServer, which stays open until Close or the end of the test. The fields may be changed before a request.
type Broker struct {
	Cluster, Name, Addr string
	ID                  int // 0 master, above 0 slave
	Topics              []string
	WriteQueues         int32 // of each topic; it has 4 to read
	Version             int   // see Request
	Language            string
	Greeting            []byte                                // sent first on every connection
	Dial                func(server string) (net.Conn, error) // nil: from here

	mu      sync.Mutex
	conns   map[string]*Client
	settled <-chan time.Time // fires when the newest REGISTER is old enough
}

// NewBroker makes a broker that is not registered anywhere. Like a real one it always has topics of its own name and its
// cluster's: the registration of a single topic is refused at first.
func NewBroker(t testing.TB, name, addr string, topics ...string) *Broker {
	const cluster = "DefaultCluster"
	b := &Broker{
		Cluster: cluster, Name: name, Addr: addr, Topics: append([]string{name, cluster}, topics...), WriteQueues: 4,
		conns: map[string]*Client{},
	}
	t.Cleanup(b.Close)
	return b
}

// Register sends a REGISTER to servers.
func (b *Broker) Register(t testing.TB, servers ...string) {
	t.Helper()
	for _, server := range servers {
		Must(t, b.TryRegister(server))
	}
	b.settled = time.After(settleTime)
}

// TryRegister is Register that may be refused.
func (b *Broker) TryRegister(server string) error {
	return b.Tell(server, b.Registration(), registerTime)
}

// RegisterAll registers at all side by side.
func (b *Broker) RegisterAll(servers ...string) error { return b.tellAll(b.Registration(), servers) }

func (b *Broker) tellAll(r Request, servers []string) error {
	errs := make([]error, len(servers))
	var group sync.WaitGroup
	for i, server := range servers {
		group.Go(func() { errs[i] = b.Tell(server, r, registerTime) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// Keep sends a request (its Registration or its Heartbeat) every 20 s until t ends: without that a NameServer drops a
// broker after 120 s.
func (b *Broker) Keep(t testing.TB, request func() Request, servers ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(20 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := b.tellAll(request(), servers); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
}

// Unregister sends an UNREGISTER to server. The connection stays open, so that nothing but it can make server forget.
func (b *Broker) Unregister(t testing.TB, server string) {
	t.Helper()
	if b.settled != nil {
		<-b.settled
		b.settled = nil
	}
	Must(t, b.Tell(server, b.Departure(), Patience))
}

// Registration is the REGISTER of a broker without static topics. It is the same at every start: a broker keeps its data
// version on disk, so no field tells its lives apart.
func (b *Broker) Registration() Request {
	r := b.request(103)
	r.Body = registerBody(b.WriteQueues, b.Topics)
	r.Ext["bodyCrc32"], r.Ext["compressed"] = CRC(r.Body), "false"
	r.Ext["enableActingMaster"], r.Ext["haServerAddr"] = "false", b.Addr
	return r
}

// RegisterBody is the body of a REGISTER with topics of 4 queues each way.
func RegisterBody(topics ...string) []byte { return registerBody(4, topics) }

func registerBody(writeQueues int32, topics []string) []byte {
	reg := body.Register{Version: body.DataVersion{Timestamp: 1_700_000_000_000, Counter: 1}}
	for _, name := range topics {
		reg.Topics = append(reg.Topics, body.TopicConfig{Name: []byte(name), ReadQueueNums: 4, WriteQueueNums: writeQueues, Perm: 6})
	}
	return body.AppendRegister(nil, &reg)
}

// CRC is a body's checksum as brokers send it: CRC-32 without the top bit.
func CRC(body []byte) string { return strconv.Itoa(int(crc32.ChecksumIEEE(body) & 0x7fffffff)) }

// Departure is the UNREGISTER.
func (b *Broker) Departure() Request { return b.request(104) }

// Heartbeat is the sign of life between two registrations.
func (b *Broker) Heartbeat() Request { return b.request(904) }

func (b *Broker) request(code int) Request {
	return Request{Code: code, Version: b.Version, Language: b.Language, Ext: map[string]string{
		"brokerAddr": b.Addr, "brokerId": strconv.Itoa(b.ID), "brokerName": b.Name, "clusterName": b.Cluster,
	}}
}

// Tell sends a request on the broker's connection to server. An answer other than 0 is an error.
func (b *Broker) Tell(server string, r Request, limit time.Duration) error {
	c, err := b.Conn(server)
	if err == nil {
		var a *Answer
		a, err = c.TryCall(r, limit)
		err = a.Failed(err)
	}
	if err != nil {
		return fmt.Errorf("%s tells %s %d: %w", b.Name, server, r.Code, err)
	}
	return nil
}

// Conn is this life's connection to a NameServer.
func (b *Broker) Conn(server string) (*Client, error) {
	if c := b.Opened(server); c != nil {
		return c, nil
	}
	dial := b.Dial
	if dial == nil {
		dial = func(server string) (net.Conn, error) { return net.DialTimeout("tcp", server, Patience) }
	}
	conn, err := dial(server)
	if err != nil {
		return nil, err
	}
	c := Over(nil, conn)
	if err := c.TryPut(b.Greeting); err != nil {
		c.Close()
		return nil, err
	}
	b.Use(server, c)
	return c, nil
}

// Opened is the connection to a NameServer that it has by now, or nil.
func (b *Broker) Opened(server string) *Client {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conns[server]
}

// Use makes it speak to server on a connection that it shares with others.
func (b *Broker) Use(server string, c *Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[server] = c
}

// HangUp closes the connection to one NameServer.
func (b *Broker) HangUp(server string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.conns[server]; c != nil {
		c.Close()
		delete(b.conns, server)
	}
}

// Close loses all connections, as a crash does.
func (b *Broker) Close() {
	b.mu.Lock()
	servers := slices.Collect(maps.Keys(b.conns))
	b.mu.Unlock()
	for _, server := range servers {
		b.HangUp(server)
	}
}

// Serves says whether server hands out topic at addr.
func Serves(server, topic, addr string) (bool, error) {
	answer, err := Ask(server, Request{Code: 105, Ext: map[string]string{"topic": topic}})
	switch {
	case err != nil:
		return false, err
	case answer.Code == 17:
		return false, nil
	}
	return strings.Contains(string(answer.Body), `"`+addr+`"`), answer.Failed(nil)
}

// AwaitServes waits until server hands out topic at addr, or no longer does.
func AwaitServes(t testing.TB, within time.Duration, server, topic, addr string, want bool) time.Duration {
	t.Helper()
	return Await(t, within, fmt.Sprintf("%s serves %s of %s: %v", server, topic, addr, want), func() error {
		got, err := Serves(server, topic, addr)
		if err == nil && got != want {
			err = fmt.Errorf("it does: %v", got)
		}
		return err
	})
}
