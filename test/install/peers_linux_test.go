package install

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Releases of RocketMQ that live through the rolls.
const (
	release5 = "5.5.0"
	release4 = "4.9.7"
)

// peers are released brokers and clients.
type peers struct {
	t       *testing.T
	brokers []*java.Broker
	clients []*sender
}

// sender is a producer, most with a consumer of what it sends.
type sender struct {
	*java.Client
	name string
	told java.Events // by the last row
}

// fetchPeers is for the machine's network: namespaces have no way out.
func fetchPeers(t *testing.T) {
	t.Helper()
	for _, version := range []string{release5, release4} {
		java.Jars(t, "rocketmq-broker", version)
	}
	clientClasses(t)
}

func clientClasses(t *testing.T) (classes, lib string) {
	t.Helper()
	lib = java.Jars(t, "rocketmq-client", release5)
	return java.Compile(t, filepath.Join("..", "interop", "java", "Peer.java"), lib), lib
}

// broker starts one that registers as ip, and does not wait until it has booted.
func (p *peers) broker(name, version, ip, nameServers string, more map[string]string) {
	p.t.Helper()
	properties := map[string]string{"brokerIP1": ip, "brokerIP2": ip}
	maps.Copy(properties, more)
	b := java.LaunchBroker(p.t, java.BrokerOptions{Version: version, NameServers: nameServers, Name: name, Properties: properties})
	b.Addr = fmt.Sprint(ip, ":", b.Port)
	p.brokers = append(p.brokers, b)
}

// registered waits until a NameServer knows every broker: the topic that each makes at its start has its name.
func (p *peers) registered(server string) {
	p.t.Helper()
	for _, b := range p.brokers {
		b.MustBoot(p.t)
		kit.AwaitServes(p.t, patience, server, b.Name, b.Addr, true)
	}
}

// sends starts a client that sends until the end, and waits for its first message.
func (p *peers) sends(name string, o java.ClientOptions) {
	p.t.Helper()
	classes, lib := clientClasses(p.t)
	o.Count, o.SendTimeout = -1, time.Minute // what brokers and clients need on a busy machine is no failure
	s := &sender{name: name, Client: java.StartClient(p.t, "Peer", classes, lib, o)}
	kit.Await(p.t, patience, name+" sends", func() error {
		if e := s.Events(); e.Last != "OK" {
			return fmt.Errorf("%d failed: %s", len(e.Failed), e.Failure)
		}
		return nil
	})
	p.clients = append(p.clients, s)
}

// row tells what was sent since the last row, and wants it to be something, and nothing to have failed since the first row.
func (p *peers) row(what string, first bool) {
	p.t.Helper()
	for _, c := range p.clients {
		e := c.Events()
		sent, failed := len(e.Sent)-len(c.told.Sent), len(e.Failed)-len(c.told.Failed)
		p.t.Logf("%s: %s: %d messages sent, %d failed", what, c.name, sent, failed)
		if !first && (sent == 0 || failed > 0) {
			why := maps.Clone(e.Failed)
			maps.DeleteFunc(why, func(id, _ string) bool { return c.told.Failed[id] != "" })
			p.t.Errorf("%s: %s: %d messages sent, %d failed: %v", what, c.name, sent, failed, why)
		}
		c.told = e
	}
}

// received waits until the consumer of a client has what was sent so far.
func (p *peers) received(c *sender) {
	p.t.Helper()
	sent := c.Events().Sent
	kit.Await(p.t, patience, c.name+" has what was sent", func() error {
		e := c.Events()
		e.Sent = sent
		if missing := e.Missing(); missing != "" {
			return errors.New(missing)
		}
		return nil
	})
	p.t.Logf("%s: all of %d messages received", c.name, len(sent))
}

// balance is a Service: it gives each connection to the next one of those that are told at that time.
func balance(t *testing.T, addr string, targets func() []string) {
	t.Helper()
	l, err := net.Listen("tcp4", addr)
	kit.Must(t, err)
	t.Cleanup(func() { l.Close() })
	var next atomic.Int64
	serve := func(c net.Conn) {
		defer c.Close()
		all := targets()
		for range all {
			d, err := net.DialTimeout("tcp4", all[int(next.Add(1))%len(all)], 2*time.Second)
			if err != nil {
				continue
			}
			defer d.Close()
			go func() {
				_, _ = io.Copy(d, c)
				d.Close()
			}()
			_, _ = io.Copy(c, d)
			return
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
}
