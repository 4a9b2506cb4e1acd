package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
)

const (
	// DemoCluster is the RocketMQ cluster of the demo brokers, and demoTopic a topic that all of them have.
	DemoCluster = "DemoCluster"
	demoTopic   = "demo-orders"

	callTime = 3 * time.Second // for one request, as in the Java broker
)

// broker is one life of a synthetic broker: it speaks to the nodes as a Java 5.5.0 broker does, over connections of its
// own, but has no port that anyone could send messages to.
type broker struct {
	name    string
	addr    string        // of a documentation network (RFC 5737): nobody is there
	ha      string        // for its slaves, had it any
	timeout time.Duration // after which a silent one expires; 0: the nodes' default
	topics  []string
	started time.Time
	conns   []*rpc.Client // one for each node, in their order
	host    net.IP        // where it connects from: a loopback address of its own
	deaf    int           // the node that hears nothing of it; -1: none
}

// newBroker is the i-th broker, before it connects.
func newBroker(i int, now time.Time) *broker {
	name := "demo-" + strconv.Itoa(i+1)
	return &broker{
		name: name, addr: fmt.Sprintf("192.0.2.%d:10911", i+1), ha: fmt.Sprintf("192.0.2.%d:10912", i+1), started: now,
		topics: []string{demoTopic, name, DemoCluster}, host: net.IPv4(127, 77, 0, byte(i+1)), deaf: -1,
	}
}

// connect opens a connection to every node and registers there.
func (b *broker) connect(ctx context.Context, nodes []string) error {
	for _, addr := range nodes {
		dialing, cancel := context.WithTimeout(ctx, callTime)
		c, err := b.dial(dialing, addr)
		cancel()
		if err != nil {
			return fmt.Errorf("broker %s: %w", b.name, err)
		}
		b.conns = append(b.conns, rpc.NewClient(c, rpc.DefaultClientConfig()))
	}
	return b.register(ctx)
}

// dial connects from the broker's own address, where this machine has it: only then its host can fall silent.
func (b *broker) dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: b.host}}
	if c, err := d.DialContext(ctx, "tcp", addr); err == nil {
		return c, nil
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

// register is a REGISTER at every node: the broker's periodic sign of life.
func (b *broker) register(ctx context.Context) error {
	header := b.header()
	header["haServerAddr"], header["enableActingMaster"] = b.ha, "false"
	header["compressed"], header["bodyCrc32"] = "false", "0"
	if b.timeout > 0 {
		header["heartbeatTimeoutMillis"] = strconv.FormatInt(b.timeout.Milliseconds(), 10)
	}
	reg := body.Register{Version: body.DataVersion{Timestamp: b.started.UnixMilli(), Counter: 1}}
	for _, topic := range b.topics {
		reg.Topics = append(reg.Topics, body.TopicConfig{
			Name: []byte(topic), ReadQueueNums: 8, WriteQueueNums: 8, Perm: 6,
		})
	}
	content := body.AppendRegister(nil, &reg)
	return b.call(ctx, remoting.RegisterBroker, header, content, func(node int) bool { return node == b.deaf })
}

// unregister is an UNREGISTER at every node but the one that misses it (none: -1).
func (b *broker) unregister(ctx context.Context, missing int) error {
	return b.call(ctx, remoting.UnregisterBroker, b.header(), nil, func(node int) bool { return node == missing })
}

func (b *broker) header() map[string]string {
	return map[string]string{
		"brokerName": b.name, "brokerAddr": b.addr, "clusterName": DemoCluster, "brokerId": "0",
	}
}

// call asks one node after the other, as a broker does.
func (b *broker) call(ctx context.Context, code int32, header map[string]string, content []byte, skip func(int) bool) error {
	var errs []error
	for i, c := range b.conns {
		if skip(i) {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, callTime)
		answer, err := c.Invoke(asking, &remoting.Command{Code: code, Version: mq.V5_5_0, Ext: header, Body: content})
		cancel()
		if err == nil && answer.Code != remoting.Success {
			err = fmt.Errorf("code %d: %s", answer.Code, answer.Remark)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("broker %s, code %d: %w", b.name, code, err))
		}
	}
	return errors.Join(errs...)
}

// advertised is the address that the broker's host is known by.
func (b *broker) advertised() netip.Addr { return netip.MustParseAddrPort(b.addr).Addr() }

// close drops all connections, as the end of a process does.
func (b *broker) close() {
	for _, c := range b.conns {
		c.Close()
	}
	b.conns = nil
}
