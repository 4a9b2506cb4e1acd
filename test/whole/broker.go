package whole

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/world"
)

// registerBody is what a broker with two topics sends: a first registration of one topic is refused.
var registerBody = kit.RegisterBody("TopicA", "TopicB")

// encode is the REGISTER or UNREGISTER as a process of that kind sends it.
func encode(k world.Kind, f *world.Frame) []byte {
	c := remoting.Command{
		Code: remoting.UnregisterBroker, Version: k.Version(), Language: k.Language(), Opaque: int32(f.Seq),
		Ext: map[string]string{
			"clusterName": f.Key.Cluster, "brokerAddr": f.Key.Addr, "brokerId": strconv.FormatInt(f.ID, 10), "brokerName": f.Name,
		},
	}
	if !f.Unregister {
		c.Code, c.Body = remoting.RegisterBroker, registerBody
		c.Ext["haServerAddr"] = f.Key.Addr + "2"
		c.Ext["compressed"] = "false"
		c.Ext["bodyCrc32"] = kit.CRC(c.Body)
		if f.Timeout > 0 {
			c.Ext["heartbeatTimeoutMillis"] = strconv.FormatInt(f.Timeout.Milliseconds(), 10)
		}
	}
	return remoting.AppendRequest(nil, &c)
}

// Life tells the processes of the machine's node apart.
func (m *machine) Life() uint64 {
	if m.life == nil {
		return 0
	}
	return m.life.number
}

// Accept takes the connection that the host has ready, and makes it open the next one, which says nothing until it is taken: as
// behind a proxy that opens connections before anybody needs them: S-48.
func (m *machine) Accept(c *world.Conn) bool {
	if time.Until(m.until) > 0 {
		return false
	}
	mine := m.life.ready[c.Proc.Host()]
	if mine == nil || !mine.Open {
		if mine = m.open(c.Proc.IP()); mine == nil {
			return false
		}
	}
	c.ID, c.End = mine.ID, mine
	mine.Conn = c
	if m.mode != "" {
		c.Begin(m.clock)
	}
	m.life.ready[c.Proc.Host()] = m.open(c.Proc.IP())
	if c.Proc.Kind == world.Proxied {
		mine.arriveBytes(proxyHeader(mine.remote, &net.TCPAddr{IP: m.ip(), Port: brokerPort}))
	}
	return true
}

// open is a new connection from that host on which nobody says anything yet; nil: the accept queue is full.
func (m *machine) open(from netip.Addr) *conn {
	m.w.port++
	c := &conn{
		Conn: &world.Conn{Open: true}, w: m.w, life: m.life, signal: make(chan struct{}, 1),
		remote: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(20_000+m.w.port%40_000))),
	}
	select {
	case m.life.listener.conns <- c:
	default:
		return nil
	}
	m.life.accepted++
	c.ID = m.life.accepted
	m.life.conns = append(m.life.conns, c)
	m.life.byPort[uint16(c.remote.Port)] = c
	return c
}

// Dead says that nothing more is read.
func (c *conn) Dead() bool { return !c.Open || c.life.over }

// Take puts the frame where the node reads it.
func (c *conn) Take(f world.Frame, at int64) { c.w.Time.At(at, func() { c.readable(f) }) }

func (c *conn) readable(f world.Frame) {
	if c.Dead() {
		return
	}
	if hold := time.Until(c.life.m.until); hold > 0 {
		c.parked++ // what waits for the process is read in order when it runs again
		c.w.After(hold+time.Duration(c.parked), func() { c.readable(f) })
		return
	}
	if f.FIN {
		c.fin = true
		c.wakeUp()
		return
	}
	bytes := encode(c.Proc.Kind, &f)
	first := len(bytes)
	if f.Part != world.Whole {
		first = 1 + f.Seq*7919%(len(bytes)-1) // any length, the same of both
	}
	if f.Part == world.Rest {
		c.arriveBytes(bytes[first:])
		return
	}
	c.frames = append(c.frames, frame{Frame: f, bytes: len(bytes), end: len(c.in) + len(bytes)})
	c.arriveBytes(bytes[:first])
}

func (c *conn) arriveBytes(b []byte) {
	c.in = append(c.in, b...)
	c.wakeUp()
}

// Reset fails the node's writes from now on, and its reads when it has read what came before.
func (c *conn) Reset(at int64) {
	c.reset = true
	c.w.Time.At(at, func() {
		c.broken = true
		c.wakeUp()
	})
}

// Acked raises what the node's kernel says is acknowledged.
func (c *conn) Acked(wr *world.Write) {
	c.acked = max(c.acked, wr.EndByte)
	if c.w.Time.Now()-wr.At < int64(80*time.Millisecond) { // the node polls for 100 ms, at last every 10 ms
		for _, m := range wr.Marks {
			m.Raise(wr.At)
		}
	}
}
