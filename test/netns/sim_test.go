//go:build linux

package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What brokers say of themselves.
const (
	version5    = 513              // V5_5_0
	version4    = 401              // of the 4.9 line
	simPatience = 24 * time.Second // a 5.x broker's for a REGISTER
	leaveLimit  = 3 * time.Second  // a broker's for an UNREGISTER
)

// simBroker says on the wire what a Java broker says: one connection to each NameServer, REGISTER to all at once,
// UNREGISTER one after another. It starts and stops a thousand times faster.
type simBroker struct {
	host          *host
	name, cluster string
	addr          string
	id            int
	version       int
	language      string
	greeting      []byte // sent first on every connection
	mu            sync.Mutex
	conns         map[*server]net.Conn // of this incarnation
}

// newSimBroker makes a broker that has not started. Its connections are open until it exits, at the latest when the test
// ends: without that, the collector would close those of a broker that nobody mentions any more.
func newSimBroker(h *host, name string, port int) *simBroker {
	b := &simBroker{
		host: h, name: name, cluster: "SimCluster", addr: net.JoinHostPort(h.IP, strconv.Itoa(port)),
		version: version5, language: "JAVA", conns: map[*server]net.Conn{},
	}
	h.t.Cleanup(b.exit)
	return b
}

// key is how a watch names it.
func (b *simBroker) key() string { return b.name + "@" + b.addr }

// conn is this incarnation's connection to a NameServer.
func (b *simBroker) conn(s *server) (net.Conn, error) {
	b.mu.Lock()
	c := b.conns[s]
	b.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := b.host.dial(s.addr, simPatience)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(b.greeting); err != nil {
		c.Close()
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[s] = c
	return c, nil
}

// registration is the same at every start: the data version is kept on disk, so no field tells incarnations apart.
func (b *simBroker) registration() request {
	table := map[string]any{}
	for _, topic := range []string{b.name + "-one", b.name + "-two"} { // a single one is refused before a full registration
		table[topic] = map[string]any{
			"topicName": topic, "readQueueNums": 4, "writeQueueNums": 4, "perm": 6, "topicFilterType": "SINGLE_TAG",
			"topicSysFlag": 0, "order": false, "attributes": map[string]string{},
		}
	}
	body, err := json.Marshal(map[string]any{
		"filterServerList": []string{},
		"topicConfigSerializeWrapper": map[string]any{
			"dataVersion":      map[string]any{"counter": 1, "stateVersion": 0, "timestamp": 1700000000000},
			"topicConfigTable": table,
		},
	})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return b.request(codeRegister, map[string]string{
		"bodyCrc32": strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)&0x7fffffff), 10), "compressed": "false",
		"enableActingMaster": "false", "haServerAddr": b.addr,
	}, body)
}

func (b *simBroker) request(code int, ext map[string]string, body []byte) request {
	ext["brokerAddr"], ext["brokerId"], ext["brokerName"], ext["clusterName"] = b.addr, strconv.Itoa(b.id), b.name, b.cluster
	return request{code: code, version: b.version, language: b.language, ext: ext, body: body}
}

func (b *simBroker) register(s *server) error {
	return b.tell(s, b.registration(), simPatience)
}

// registerAll registers at all side by side.
func (b *simBroker) registerAll(servers []*server) error {
	errs := make([]error, len(servers))
	var group sync.WaitGroup
	for i, s := range servers {
		group.Go(func() { errs[i] = b.register(s) })
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// keep registers again every 20 s until t ends, as brokers do; without that a NameServer drops it after 120 s.
func (b *simBroker) keep(t testing.TB, servers []*server) {
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
				if err := b.registerAll(servers); err != nil && ctx.Err() == nil {
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

func (b *simBroker) unregister(s *server) error {
	return b.tell(s, b.leave(), leaveLimit)
}

func (b *simBroker) leave() request { return b.request(codeUnregister, map[string]string{}, nil) }

func (b *simBroker) tell(s *server, r request, limit time.Duration) error {
	c, err := b.conn(s)
	if err != nil {
		return fmt.Errorf("%s dials %s: %w", b.name, s.name, err)
	}
	a, err := ask(c, r, limit)
	if err == nil && a.Code != 0 {
		err = fmt.Errorf("code %d: %s", a.Code, a.Remark)
	}
	if err != nil {
		return fmt.Errorf("%s tells %s %d: %w", b.name, s.name, r.code, err)
	}
	return nil
}

// write sends without waiting for anything, as a process does whose path is stalled.
func (b *simBroker) write(s *server, r request) error {
	c, err := b.conn(s)
	if err != nil {
		return err
	}
	frame, _ := r.frame()
	_, err = c.Write(frame)
	return err
}

// exit is the end of the process: its kernel closes what is open.
func (b *simBroker) exit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s, c := range b.conns {
		c.Close()
		delete(b.conns, s)
	}
}

// hangUp closes the connection to one NameServer.
func (b *simBroker) hangUp(s *server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.conns[s]; c != nil {
		c.Close()
		delete(b.conns, s)
	}
}

// vanish ends the connection to one NameServer without FIN or RST, as a path does that was cut before.
func (b *simBroker) vanish(s *server) error {
	b.mu.Lock()
	c := b.conns[s]
	delete(b.conns, s)
	b.mu.Unlock()
	if c == nil {
		return nil
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_REPAIR, 1) })
	if err == nil {
		err = set
	}
	return err
}
