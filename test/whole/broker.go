package whole

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"net"
	"strconv"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/sim"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Kinds of processes, as package sim names them.
const (
	v5        = "v5"        // Java 5.x: unregisters first, before it gives up its port and its store lock
	v4        = "v4"        // Java 4.x: unregisters near the end, when its successor may already run
	rust      = "rust"      // says version 5 but closes its servers first
	container = "container" // a BrokerContainer: registers and unregisters inner brokers as it likes
	proxied   = "proxied"   // a 5.x broker behind a front end that sends a PROXY header
)

// proc is one life of a broker or tool on one host.
type proc struct {
	w        *World
	num      int // also its place in the order of lives
	host     int
	kind     string
	broker   int64
	alive    bool
	stopping bool // a stopping process registers no more
	over     bool // its successor has started: it unregisters no more
	as       sim.Guise
	seq      int // frames sent, in its own order
	leaving  int // UNREGISTERs that no node has read yet
	conns    map[int]*conn
	all      []*conn // also those it has closed
}

func (p *proc) name() string { return fmt.Sprintf("p%d", p.num) }

// frame is a REGISTER or UNREGISTER on its way.
type frame struct {
	unregister bool
	fin        bool
	key        tombstone.Key
	seq        int // in the process's own order
	bytes      []byte
	mark       *mark // of the tombstone that it made
}

// brokerKey is where broker n registers, as in package sim.
func brokerKey(n int64) tombstone.Key {
	return tombstone.Key{Cluster: fmt.Sprintf("b%d", n), Addr: fmt.Sprintf("10.9.9.%d:10911", n)}
}

// registerBody is what a broker with two topics sends: a first registration of one topic is refused.
var registerBody = []byte(`{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"stateVersion":0,` +
	`"timestamp":1700000000000},"mappingDataVersion":{"counter":0,"stateVersion":0,"timestamp":1700000000000},` +
	`"topicConfigTable":{` + topicConfig("TopicA") + `,` + topicConfig("TopicB") + `},` +
	`"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}}`)

func topicConfig(name string) string {
	return `"` + name + `":{"attributes":{},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG",` +
		`"topicName":"` + name + `","topicSysFlag":0,"writeQueueNums":4}`
}

// frame is the REGISTER or UNREGISTER that the process's kind would send.
func (p *proc) frame(broker int64, unregister bool) frame {
	k := brokerKey(broker)
	k.Cluster, k.Addr = cmp.Or(p.as.Cluster, k.Cluster), cmp.Or(p.as.Addr, k.Addr)
	p.seq++
	c := remoting.Command{Code: remoting.UnregisterBroker, Version: remoting.Version, Opaque: int32(p.seq), Ext: map[string]string{
		"clusterName": k.Cluster, "brokerAddr": k.Addr, "brokerId": strconv.FormatInt(p.as.ID, 10),
		"brokerName": cmp.Or(p.as.Name, "broker-"+brokerKey(broker).Cluster),
	}}
	switch p.kind {
	case v4:
		c.Version = 395
	case rust:
		c.Language = remoting.Rust
	}
	if !unregister {
		c.Code, c.Body = remoting.RegisterBroker, registerBody
		c.Ext["haServerAddr"] = k.Addr + "2"
		c.Ext["compressed"] = "false"
		c.Ext["bodyCrc32"] = strconv.FormatUint(uint64(crc32.ChecksumIEEE(c.Body)&0x7fffffff), 10)
		if d := cmp.Or(p.as.Timeout, p.w.timeout); d > 0 {
			c.Ext["heartbeatTimeoutMillis"] = strconv.FormatInt(d.Milliseconds(), 10)
		}
	}
	return frame{unregister: unregister, key: k, seq: p.seq, bytes: remoting.AppendRequest(nil, &c)}
}

// pathState is the way between a host and a node.
type pathState struct {
	stalled bool
	acks    string // at-once, late (40 to 200 ms) or never (until that changes)
}

type path struct{ host, node int }

func (w *World) path(host, node int) *pathState {
	p := w.paths[path{host, node}]
	if p == nil {
		p = &pathState{acks: "at-once"}
		w.paths[path{host, node}] = p
	}
	return p
}

// connect answers the process's connection to a node, a new one if needed and possible.
func (p *proc) connect(m *machine) *conn {
	if c := p.conns[m.index]; c != nil && !c.closed && c.life == m.life {
		return c
	}
	l := m.life
	if p.w.path(p.host, m.index).stalled || l == nil || time.Until(m.until) > 0 {
		return nil
	}
	p.w.port++
	c := &conn{
		w: p.w, proc: p, life: l, signal: make(chan struct{}, 1),
		remote: &net.TCPAddr{IP: hostIP(p.host), Port: 20_000 + p.w.port%40_000},
	}
	select {
	case l.listener.conns <- c:
	default:
		return nil // its accept queue is full
	}
	l.accepted++
	c.id = l.accepted
	l.conns = append(l.conns, c)
	p.conns[m.index] = c
	p.all = append(p.all, c)
	if p.kind == proxied {
		c.arriveBytes(proxyHeader(c.remote, &net.TCPAddr{IP: m.ip(), Port: brokerPort}))
	}
	return c
}

// hostIP is the source address of a broker's host.
func hostIP(n int) net.IP { return net.IPv4(10, 0, byte(n>>8), byte(n)) }

// say sends one frame.
func (p *proc) say(m *machine, broker int64, unregister bool) {
	if c := p.connect(m); c != nil {
		c.send(p.frame(broker, unregister))
	}
}

// send puts a frame on the connection, in order; it may arrive after the process has gone.
func (c *conn) send(f frame) {
	if f.unregister {
		c.waiting++
		c.proc.leaving++
		c.later(3*time.Second, c.timeout)
	} else if !f.fin {
		c.asking++
	}
	if c.w.path(c.proc.host, c.life.m.index).stalled {
		c.held = append(c.held, f)
		return
	}
	c.travel(f, c.w.delay())
}

// timeout closes the socket of a call that was not answered within 3 s, as the Java client does.
func (c *conn) timeout() {
	if c.waiting > 0 && !c.closed {
		c.w.logf("%s gives up its connection to %s", c.proc.name(), c.life.m.name())
		c.close()
	}
}

func (c *conn) close() {
	if c.closed {
		return
	}
	c.brokerHears()
	c.send(frame{fin: true})
}

// travel lets a frame arrive after d, or when what was sent before it has arrived.
func (c *conn) travel(f frame, d time.Duration) {
	at := time.Now().Add(d)
	if at.Before(c.lastArrival) {
		at = c.lastArrival
	}
	c.lastArrival = at.Add(time.Nanosecond) // timers of one moment run in any order
	c.later(time.Until(at), func() { c.arrive(f) })
}

// arrive is a frame at the node, which reads it in order, and later when it is busy.
func (c *conn) arrive(f frame) {
	if c.reset {
		return
	}
	at := time.Now()
	if at.Before(c.lastRead) {
		at = c.lastRead
	}
	if c.w.chance(c.w.busy) {
		at = at.Add(c.w.between(0, 200*time.Millisecond))
	}
	c.lastRead = at.Add(time.Nanosecond)
	c.later(time.Until(at), func() { c.readable(f) })
}

// readable puts the frame where the node reads it.
func (c *conn) readable(f frame) {
	if c.shut || c.life.over {
		return
	}
	if hold := time.Until(c.life.m.until); hold > 0 {
		c.parked++ // what waits for the process is read in order when it runs again
		c.later(hold+time.Duration(c.parked), func() { c.readable(f) })
		return
	}
	if f.fin {
		c.fin = true
		c.wakeUp()
		return
	}
	c.frames = append(c.frames, f)
	c.bounds = append(c.bounds, len(c.in)+len(f.bytes))
	c.arriveBytes(f.bytes)
}

func (c *conn) arriveBytes(b []byte) {
	c.in = append(c.in, b...)
	c.wakeUp()
}

// answered is a reply that reaches the broker's host.
func (c *conn) answered(i int) {
	w := c.w
	st := w.path(c.proc.host, c.life.m.index)
	if st.stalled {
		c.answers = append(c.answers, i)
		return
	}
	if c.lostFrames {
		return
	}
	if c.closed {
		if w.flaw == flawResetIsAck {
			c.acked(len(c.writes) - 1)
		}
		c.later(w.delay(), func() {
			c.reset = true
			c.later(max(0, time.Until(c.lastRead)), func() {
				c.broken = true
				c.wakeUp()
			})
		})
		return
	}
	c.waiting = max(0, c.waiting-c.writes[i].unregs)
	c.asking = max(0, c.asking-c.writes[i].asks)
	switch st.acks {
	case "never":
		c.withheld = append(c.withheld, i)
	case "late":
		c.later(w.between(40*time.Millisecond, 200*time.Millisecond), func() { c.acked(i) })
	default:
		c.later(w.delay(), func() { c.acked(i) })
	}
}

// acked is an acknowledgement that reaches the node's kernel: of everything up to write i.
func (c *conn) acked(i int) {
	if c.w.path(c.proc.host, c.life.m.index).stalled || c.shut {
		return
	}
	for j := range c.writes[:i+1] {
		c.writes[j].acked = true
		c.ackedOff = max(c.ackedOff, c.writes[j].end)
	}
	wr := &c.writes[i]
	for _, m := range wr.marks {
		// The node polls for 100 ms, at last every 10 ms.
		if late := c.proc.kind == v5 || c.proc.kind == container; late && time.Since(wr.at) < 80*time.Millisecond {
			m.life = wr.at
		}
	}
}

// exit ends the process: the kernel sends a FIN after what was written, and answers later data with RST.
func (p *proc) exit() {
	p.alive = false
	for _, c := range p.all {
		c.close()
	}
}

// vanish ends process and host: nothing more arrives, no FIN either.
func (p *proc) vanish() {
	p.alive = false
	for _, c := range p.all {
		c.closed, c.lostFrames, c.held = true, true, nil
	}
}

// heal lets a stalled path go on: every connection retransmits at its own time.
func (w *World) heal(host, node int) {
	st := w.path(host, node)
	if !st.stalled {
		return
	}
	st.stalled = false
	for _, p := range w.ordered() {
		if p.host != host {
			continue
		}
		for _, c := range p.all {
			if c.life.m.index != node {
				continue
			}
			resume := w.between(0, 2*time.Second)
			for _, f := range c.held {
				c.travel(f, resume)
				if w.busy > 0 {
					resume += w.between(0, 20*time.Millisecond)
				}
			}
			c.held = nil
			for _, i := range c.answers {
				c.later(resume, func() { c.answered(i) })
			}
			c.answers = nil
		}
	}
}

// ordered are the processes in the order of their starts.
func (w *World) ordered() []*proc {
	var ps []*proc
	for i := 0; len(ps) < len(w.procs); i++ {
		if p := w.procs[i]; p != nil {
			ps = append(ps, p)
		}
	}
	return ps
}

// delay is the way between a broker and a node when nothing is wrong.
func (w *World) delay() time.Duration { return w.between(50*time.Microsecond, 2*time.Millisecond) }

// unanswered says that frames of this kind are still on their way or not answered, as far as the process knows.
func (p *proc) unanswered(unregister bool) bool {
	for _, c := range p.all {
		if unregister && c.waiting > 0 || !unregister && c.asking > 0 {
			return true
		}
		for _, f := range c.held {
			if !f.fin && f.unregister == unregister && !unregister {
				return true
			}
		}
	}
	return false
}
