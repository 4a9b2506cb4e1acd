package wire

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// listener is a broker's port that collects what the name server sends to it.
type listener struct {
	addr string
	got  chan *answer
}

func listen(t *testing.T) *listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out := &listener{addr: l.Addr().String(), got: make(chan *answer, 16)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go out.collect(t, conn)
		}
	}()
	return out
}

func (l *listener) collect(t *testing.T, conn net.Conn) {
	defer conn.Close()
	c := &client{t: t, Conn: conn, r: bufio.NewReader(conn)}
	for {
		a, err := c.tryRead(5 * time.Minute)
		if err != nil {
			return
		}
		l.got <- a
	}
}

// next waits for a notification and checks it down to the order of its members.
func (l *listener) next(t *testing.T, id int, addr string, extra string) *answer {
	t.Helper()
	select {
	case a := <-l.got:
		key, value, _ := strings.Cut(extra, "=")
		wanted := map[string]string{"minBrokerId": fmt.Sprint(id), "minBrokerAddr": addr, key: value}
		if fmt.Sprint(a.ExtFields) != fmt.Sprint(wanted) || len(a.body) != 0 {
			t.Fatalf("got %s, want fields %v", a, wanted)
		}
		has(t, "header", a.header, `{"code":905,"extFields":{`)
		has(t, "header", a.header, fmt.Sprintf(`},"flag":2,"language":"JAVA","opaque":%d,"serializeTypeCurrentRPC":"JSON","version":513}`, a.Opaque))
		return a
	case <-time.After(patience):
		t.Fatal("no notification")
		return nil
	}
}

// quiet fails t when anything was sent so far.
func (l *listener) quiet(t *testing.T) {
	t.Helper()
	select {
	case a := <-l.got:
		t.Fatalf("unexpected %s", a)
	default:
	}
}

// members are three listening brokers of one name: ids 0, 1 and 2.
func members(t *testing.T, prefix string) (brokers [3]broker, ports [3]*listener) {
	b := newBroker(prefix)
	b.acting, b.timeout = "true", 60000
	for i := range brokers {
		ports[i] = listen(t)
		brokers[i] = b
		brokers[i].id, brokers[i].addr, brokers[i].ha = i, ports[i].addr, fmt.Sprintf("ha%d", i)
	}
	return brokers, ports
}

func TestRow148MinBrokerIDNotification(t *testing.T) {
	s := own(t, options{properties: map[string]string{"notifyMinBrokerIdChanged": "true"}})
	c := s.dial(t)
	b, l := members(t, "r148")
	c.register(b[1])
	c.register(b[2])
	c.register(b[0]) // a new minimum: told to all but itself
	one := l[1].next(t, 0, b[0].addr, "haBrokerAddr=ha0")
	two := l[2].next(t, 0, b[0].addr, "haBrokerAddr=ha0")
	if one.Opaque != two.Opaque {
		t.Fatalf("opaque %d and %d", one.Opaque, two.Opaque)
	}
	c.ok(b[0].unregister()) // told to all that are left
	l[1].next(t, 1, b[1].addr, "offlineBrokerAddr="+b[0].addr)
	l[2].next(t, 1, b[1].addr, "offlineBrokerAddr="+b[0].addr)
	c.ok(b[2].unregister()) // not the minimum: no notification
	c.ok(b[1].unregister()) // the last one: nobody to tell
	c.settled(t)
	for _, port := range l {
		port.quiet(t)
	}
}

func TestRow148NotificationOffByDefault(t *testing.T) {
	s := shared(t)
	c := s.dial(t)
	b, l := members(t, "r148-off")
	c.register(b[1])
	c.register(b[0])
	c.ok(b[0].unregister())
	c.settled(t)
	l[0].quiet(t)
	l[1].quiet(t)
}

func TestRow148UnregisterOfOrdinaryGroup(t *testing.T) {
	s := own(t, options{properties: map[string]string{"notifyMinBrokerIdChanged": "true"}})
	c := s.dial(t)
	b, l := members(t, "r148-ordinary")
	for i := range b {
		b[i].acting = "false"
	}
	c.register(b[1])
	c.register(b[0]) // this path does not ask for enableActingMaster
	l[1].next(t, 0, b[0].addr, "haBrokerAddr=ha0")
	c.ok(b[0].unregister())
	c.settled(t)
	l[1].quiet(t)
}

func TestRow149NotificationAfterLoss(t *testing.T) {
	o := quickScan()
	o.properties["notifyMinBrokerIdChanged"] = "true"
	s := own(t, o)
	t.Run("connection loss", func(t *testing.T) {
		b, l := members(t, "r149-loss")
		first, others := s.dial(t), s.dial(t)
		first.register(b[0])
		others.register(b[1])
		first.Close()
		l[1].next(t, 1, b[1].addr, "offlineBrokerAddr="+b[0].addr)
	})
	t.Run("expiry", func(t *testing.T) {
		b, l := members(t, "r149-expiry")
		b[0].timeout = 1500
		s.dial(t).register(b[0])
		s.dial(t).register(b[1])
		l[1].next(t, 1, b[1].addr, "offlineBrokerAddr="+b[0].addr)
	})
}
