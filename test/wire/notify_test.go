package wire

import (
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// listener is a broker's port that collects what the name server sends to it.
type listener struct {
	addr string
	got  chan *kit.Answer
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{got: make(chan *kit.Answer, 16)}
	l.addr = kit.Listen(t, func(conn net.Conn) {
		for {
			a, err := kit.ReadFrame(conn)
			if err != nil {
				return
			}
			l.got <- a
		}
	})
	return l
}

// next waits for a notification and checks it down to the order of its members.
func (l *listener) next(id int, addr, extra string) (*kit.Answer, error) {
	select {
	case a := <-l.got:
		key, value, _ := strings.Cut(extra, "=")
		fields := map[string]string{"minBrokerId": fmt.Sprint(id), "minBrokerAddr": addr, key: value}
		end := fmt.Sprintf(`},"flag":2,"language":"JAVA","opaque":%d,"serializeTypeCurrentRPC":"JSON","version":513}`, a.Opaque)
		if !maps.Equal(a.ExtFields, fields) || len(a.Body) != 0 ||
			!strings.HasPrefix(a.Header, `{"code":905,"extFields":{`) || !strings.HasSuffix(a.Header, end) {
			return nil, fmt.Errorf("got %s, want fields %v and the end %s", a, fields, end)
		}
		return a, nil
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("no notification of %s", extra)
	}
}

// all waits for the same notification at several ports; it has one opaque.
func all(id int, addr, extra string, ports ...*listener) error {
	opaques := map[int32]bool{}
	for _, l := range ports {
		a, err := l.next(id, addr, extra)
		if err != nil {
			return err
		}
		opaques[a.Opaque] = true
	}
	if len(opaques) != 1 {
		return fmt.Errorf("opaques %v, want one", opaques)
	}
	return nil
}

// quiet returns an error when anything was sent so far.
func quiet(ports ...*listener) error {
	for _, l := range ports {
		select {
		case a := <-l.got:
			return fmt.Errorf("unexpected %s", a)
		default:
		}
	}
	return nil
}

// attempts runs a scenario up to ten times: a name server gives a notification up after 300 ms, which a busy
// machine may need for a connection.
func attempts(t *testing.T, scenario func() error) {
	t.Helper()
	var err error
	for range 10 {
		if err = scenario(); err == nil {
			return
		}
		t.Log(err)
	}
	t.Fatal(err)
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
	attempts(t, func() error {
		b, l := members(t, "r148")
		c.register(b[1])
		c.register(b[2])
		c.register(b[0]) // a new minimum: told to all but itself
		if err := all(0, b[0].addr, "haBrokerAddr=ha0", l[1], l[2]); err != nil {
			return err
		}
		c.OK(b[0].unregister()) // told to all that are left
		if err := all(1, b[1].addr, "offlineBrokerAddr="+b[0].addr, l[1], l[2]); err != nil {
			return err
		}
		c.OK(b[2].unregister()) // not the minimum: no notification
		c.OK(b[1].unregister()) // the last one: nobody to tell
		c.settled(t)
		return quiet(l[:]...)
	})
}

func TestRow148NotificationOffByDefault(t *testing.T) {
	c := shared(t).dial(t)
	b, l := members(t, "r148-off")
	c.register(b[1])
	c.register(b[0])
	c.OK(b[0].unregister())
	c.settled(t)
	kit.Must(t, quiet(l[:]...))
}

func TestRow148UnregisterOfOrdinaryGroup(t *testing.T) {
	s := own(t, options{properties: map[string]string{"notifyMinBrokerIdChanged": "true"}})
	c := s.dial(t)
	attempts(t, func() error {
		b, l := members(t, "r148-ordinary")
		for i := range b {
			b[i].acting = "false"
		}
		c.register(b[1])
		c.register(b[0]) // this path does not ask for enableActingMaster
		if err := all(0, b[0].addr, "haBrokerAddr=ha0", l[1]); err != nil {
			return err
		}
		c.OK(b[0].unregister())
		c.settled(t)
		return quiet(l[:]...)
	})
}

func TestRow149NotificationAfterLoss(t *testing.T) {
	o := quickScan()
	o.properties["notifyMinBrokerIdChanged"] = "true"
	s := own(t, o)
	t.Run("connection loss", func(t *testing.T) {
		attempts(t, func() error {
			b, l := members(t, "r149-loss")
			first, others := s.dial(t), s.dial(t)
			first.register(b[0])
			others.register(b[1])
			first.Close()
			return all(1, b[1].addr, "offlineBrokerAddr="+b[0].addr, l[1])
		})
	})
	t.Run("expiry", func(t *testing.T) {
		attempts(t, func() error {
			b, l := members(t, "r149-expiry")
			b[0].timeout = 1500
			s.dial(t).register(b[0])
			s.dial(t).register(b[1])
			return all(1, b[1].addr, "offlineBrokerAddr="+b[0].addr, l[1])
		})
	})
}
