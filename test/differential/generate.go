package differential

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/epitaph-mq/epitaph/remoting"
)

const (
	maxSteps   = 200
	brokerLink = 6 // connections of brokers: each keeps one address, cluster and name for its life
	topicNames = 8
)

// hostile are endings of names that every encoder must get right, in both dialects.
var hostile = []string{"", "", "", " x", `"q`, `\b`, "/s", "\t", "\u000b", "é", "😀", "\u2028", "\u007f", "<&>'"}

// generator makes one sequence. What it does not make, because the answer would differ on purpose:
// a connection that registered several addresses, names or clusters (B 3, B 4), a name that is registered under two clusters
// and then leaves one (B 4), UNREGISTERs on an older connection than the owner's (B 11) and registrations of one address on
// two open connections (B 13), malformed 103 and 104 (B 2): all of these have their own tests in test/wire.
type generator struct {
	rng   *rand.Rand
	links [brokerLink]link
	gone  int
	steps []step
	// holders says which link registered a broker name and id last and is still there.
	holders map[string]int
}

// link is a broker's connection.
type link struct {
	cluster, name, addr string
	acting              string // "", true, false
	id                  int
	version             [3]int64
	requestVersion      int32
}

func generate(seed uint64) []step {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 7)), holders: map[string]int{}}
	for i := range g.links {
		g.renew(i)
	}
	for n := 20 + g.rng.IntN(maxSteps-20); len(g.steps) < n; {
		g.step()
	}
	return g.steps
}

func (g *generator) pick(of ...string) string { return of[g.rng.IntN(len(of))] }
func (g *generator) chance(percent int) bool  { return g.rng.IntN(100) < percent }

// renew gives a connection a new broker: the one before has left.
func (g *generator) renew(i int) {
	g.gone++
	for at, by := range g.holders {
		if by == i {
			delete(g.holders, at)
		}
	}
	n := g.rng.IntN(4)
	g.links[i] = link{
		// A broker name belongs to one cluster.
		cluster: fmt.Sprintf("%sc%d", place, n%2), name: fmt.Sprintf("%sb%d%s", place, n, hostile[(n*5+len(g.steps)%2)%len(hostile)]),
		addr:   fmt.Sprintf("%sa%d-%d:10911", place, i, g.gone),
		acting: g.pick("", "true", "false", "false"), id: g.rng.IntN(3),
		version:        [3]int64{0, 1_700_000_000_000 + int64(g.rng.IntN(3)), int64(g.rng.IntN(3))},
		requestVersion: []int32{317, 407, 409, 475, 513}[g.rng.IntN(5)],
	}
}

func (g *generator) topic() string {
	n := g.rng.IntN(topicNames)
	return fmt.Sprintf("%st%d%s", place, n, hostile[n%len(hostile)])
}

// queryVersion chooses the dialect.
func (g *generator) queryVersion() int32 { return []int32{0, 317, 400, 401, 513, 600}[g.rng.IntN(6)] }

func (g *generator) add(s step) {
	s.Binary = g.chance(25)
	if s.Version == 0 && s.Code != 0 {
		s.Version = g.queryVersion()
	}
	g.steps = append(g.steps, s)
}

func (g *generator) step() {
	i := g.rng.IntN(brokerLink)
	tool := brokerLink // the connection of tools and clients
	switch n := g.rng.IntN(100); {
	case n < 30:
		g.register(i)
	case n < 34:
		g.unregister(i)
	case n < 36:
		g.add(step{Conn: i}) // the connection is lost
		g.renew(i)
	case n < 60:
		g.query(tool)
	case n < 68:
		g.add(step{Conn: tool, Code: 105, Ext: g.zone(map[string]string{"topic": g.topic()})})
	case n < 74:
		g.heartbeat(i)
	case n < 86:
		g.admin(tool)
	case n < 94:
		g.kv(tool)
	case n < 97:
		g.odd(tool + 1)
	default:
		g.config(tool)
	}
}

// odd asks with a header that is written as nobody writes it.
func (g *generator) odd(conn int) {
	l := g.links[g.rng.IntN(brokerLink)]
	topic := g.topic()
	asks := []step{
		{Code: 105, Ext: map[string]string{"topic": topic, "acceptStandardJsonOnly": "true"}},
		{Code: 105, Ext: map[string]string{"topic": topic}},
		{Code: 901, Ext: map[string]string{"clusterName": l.cluster, "brokerName": l.name}},
		{Code: 224, Ext: map[string]string{"cluster": l.cluster}},
		{Code: 101, Ext: map[string]string{"namespace": place + "n0", "key": topic}},
		{Code: 100, Ext: map[string]string{"namespace": place + "n0", "key": topic, "value": "v"}},
		{Code: 106},
		{Code: 999, Ext: map[string]string{"a": "b"}},
	}
	st := asks[g.rng.IntN(len(asks))]
	st.Conn, st.Version = conn, g.queryVersion()
	const number = 77777777
	cmd := &remoting.Command{Code: st.Code, Version: st.Version, Opaque: number, Ext: st.Ext}
	frame := remoting.AppendRequest(nil, cmd)
	header := twist(g.rng, string(frame[8:]))
	st.Head = strings.ReplaceAll(header, strconv.Itoa(number), "{opaque}")
	g.steps = append(g.steps, st)
}

func (l *link) header() map[string]string {
	h := map[string]string{
		"clusterName": l.cluster, "brokerName": l.name, "brokerAddr": l.addr, "brokerId": strconv.Itoa(l.id),
		"haServerAddr": l.addr + "-ha",
	}
	if l.acting != "" {
		h["enableActingMaster"] = l.acting
	}
	return h
}

func (g *generator) register(i int) {
	l := &g.links[i]
	if g.chance(10) {
		l.id = g.rng.IntN(3) // a change of role
	}
	if g.chance(40) {
		l.version[g.rng.IntN(3)] += int64(1 + g.rng.IntN(2))
	}
	if g.chance(5) {
		l.version[2] = 0 // an older counter
	}
	r := &registration{Version: l.version, CRC: g.chance(50)}
	// The first registration has two topics or more, or none: with one it is refused, which leaves a broker without address
	// in the original's tables (B 5).
	count := g.rng.IntN(5)
	seat := fmt.Sprintf("%s/%d", l.name, l.id)
	if by, held := g.holders[seat]; count == 1 && (!held || by != i) && !g.chance(3) {
		count = 2
	}
	seen := map[string]bool{}
	for len(r.Topics) < count {
		name := g.topic()
		if seen[name] {
			continue
		}
		seen[name] = true
		r.Topics = append(r.Topics, topic{
			Name: name, Read: int32(g.rng.IntN(9)), Write: int32(g.rng.IntN(9)), Perm: int32(g.rng.IntN(8)),
			SysFlag: int32(len(name) % 4), // one flag for a topic: lists 311 to 313 take any broker's
		})
	}
	if l.acting != "" && g.chance(10) {
		r.Mappings = []string{g.topic()}
	}
	if g.chance(15) {
		r.Filters = []string{l.addr + "-f"}
	}
	header, version := l.header(), l.requestVersion
	switch {
	case g.chance(4):
		r.BadCRC = true
	case g.chance(10):
		// The compressed form loses the flag, and lists 311 to 313 take any broker's.
		if !slices.ContainsFunc(r.Topics, func(t topic) bool { return t.SysFlag != 0 }) {
			r.Compressed = true
			header["compressed"] = "true"
		}
	case g.chance(4):
		r.Bare, version, r.Mappings, r.Filters = true, 36, nil, nil
	case g.chance(3):
		r.Empty, r.Mappings, r.Filters, r.Topics = true, nil, nil, nil
	}
	if g.chance(10) {
		header["__ZONE_NAME"] = g.pick("z1", "Z1", "z2")
	}
	text := ""
	if !r.BadCRC && !r.Compressed && !r.Empty && g.chance(20) {
		r.CRC = false
		if plain, err := r.encode(place, l.name, version); err == nil {
			r, text = nil, twist(g.rng, unread.ReplaceAllString(string(plain), ""))
		}
	}
	if r == nil || !r.BadCRC {
		for at, by := range g.holders {
			if by == i {
				delete(g.holders, at)
			}
		}
		if text == "" { // nobody knows here whether the twisted ones are accepted
			g.holders[seat] = i
		}
	}
	g.add(step{Conn: i, Code: 103, Version: version, Ext: header, Reg: r, Body: text})
}

// unread are members that a NameServer has no use for: ours does not look into them (golden files of package remoting).
var unread = regexp.MustCompile(`"(mappingDataVersion|topicQueueMappingDetailMap)":\{[^}]*\},|"attributes":\{\},`)

func (g *generator) unregister(i int) {
	l := &g.links[i]
	header := l.header()
	if g.chance(20) {
		header["brokerId"] = "7" // removal is by address
	}
	if g.chance(20) {
		header["brokerName"] = place + "nobody"
		header["brokerAddr"] = place + "nowhere:1"
		g.add(step{Conn: i, Code: 104, Ext: header, Oneway: g.chance(30)})
		return
	}
	g.add(step{Conn: i, Code: 104, Ext: header, Oneway: g.chance(30)})
	// The departing process closes its connection; the next one is another broker.
	g.add(step{Conn: i})
	g.renew(i)
}

func (g *generator) heartbeat(i int) {
	l := &g.links[i]
	h := map[string]string{"clusterName": l.cluster, "brokerName": l.name, "brokerAddr": l.addr, "brokerId": strconv.Itoa(l.id)}
	if g.chance(20) {
		h["brokerAddr"] = place + "unknown:1"
	}
	if g.chance(50) {
		g.add(step{Conn: i, Code: 904, Ext: h, Oneway: g.chance(30)})
		return
	}
	v := l.version
	if g.chance(30) {
		v[g.rng.IntN(3)]++
	}
	body := fmt.Sprintf(`{"counter":%d,"stateVersion":%d,"timestamp":%d}`, v[2], v[0], v[1])
	switch {
	case g.chance(10):
		body = ""
	case g.chance(20):
		body = twist(g.rng, body)
	}
	g.add(step{Conn: i, Code: 322, Ext: h, Body: body, Oneway: g.chance(20)})
}

func (g *generator) zone(ext map[string]string) map[string]string {
	if g.chance(30) {
		ext["__ZONE_MODE"], ext["__ZONE_NAME"] = g.pick("true", "TRUE", "false", " true"), g.pick("z1", "z2", " ", "z9")
	}
	if g.chance(30) {
		ext["acceptStandardJsonOnly"] = g.pick("true", "TRUE", "1", " true")
	}
	return ext
}

func (g *generator) query(conn int) {
	name := g.links[g.rng.IntN(brokerLink)]
	switch g.rng.IntN(9) {
	case 0, 1, 2:
		g.add(step{Conn: conn, Code: 105, Ext: g.zone(map[string]string{"topic": g.topic()})})
	case 3:
		g.add(step{Conn: conn, Code: 106})
	case 4:
		g.add(step{Conn: conn, Code: 206})
	case 5:
		g.add(step{Conn: conn, Code: 224, Ext: map[string]string{"cluster": g.pick(name.cluster, place+"none")}})
	case 6:
		g.add(step{Conn: conn, Code: 901, Ext: map[string]string{"clusterName": g.pick(name.cluster, "x"), "brokerName": g.pick(name.name, place+"no")}})
	case 7:
		g.add(step{Conn: conn, Code: []int32{304, 311, 312, 313}[g.rng.IntN(4)]})
	case 8:
		g.add(step{Conn: conn, Code: []int32{34, 999, 10, 0x7fff}[g.rng.IntN(4)], Oneway: g.chance(20)})
	}
}

func (g *generator) admin(conn int) {
	l := g.links[g.rng.IntN(brokerLink)]
	broker := g.pick(l.name, l.name, l.name, place+"no")
	switch g.rng.IntN(6) {
	case 0:
		g.add(step{Conn: conn, Code: 205, Ext: map[string]string{"brokerName": broker}})
	case 1:
		g.add(step{Conn: conn, Code: 327, Ext: map[string]string{"brokerName": broker}})
	case 2:
		g.add(step{Conn: conn, Code: 216, Ext: map[string]string{"topic": g.topic()}})
	case 3:
		g.add(step{Conn: conn, Code: 216, Ext: map[string]string{"topic": g.topic(), "clusterName": g.pick(l.cluster, place+"none", "")}})
	default:
		name := g.topic()
		queues := ""
		for i := range 1 + g.rng.IntN(2) {
			if i > 0 {
				queues += ","
			}
			queues += fmt.Sprintf(`{"brokerName":%s,"perm":%d,"readQueueNums":%d,"topicSysFlag":%d}`,
				strconv.Quote(place+"b"+strconv.Itoa(g.rng.IntN(5))), g.rng.IntN(8), g.rng.IntN(9), len(name)%4)
		}
		text := `{"queueDatas":[` + queues + `]}`
		if g.chance(20) {
			text = twist(g.rng, text)
		}
		g.add(step{Conn: conn, Code: 217, Ext: map[string]string{"topic": name}, Body: text})
	}
}

func (g *generator) kv(conn int) {
	ns := g.pick(place+"n0", place+"n1"+hostile[g.rng.IntN(len(hostile))], "ORDER_TOPIC_CONFIG")
	key := g.topic()
	switch g.rng.IntN(6) {
	case 0, 1:
		ext := map[string]string{"namespace": ns, "key": key, "value": "v " + hostile[g.rng.IntN(len(hostile))]}
		if g.chance(10) {
			delete(ext, g.pick("namespace", "key"))
		}
		g.add(step{Conn: conn, Code: 100, Ext: ext, Oneway: g.chance(20)})
	case 2:
		g.add(step{Conn: conn, Code: 101, Ext: map[string]string{"namespace": ns, "key": key}})
	case 3:
		g.add(step{Conn: conn, Code: 102, Ext: map[string]string{"namespace": ns, "key": key}})
	case 4:
		g.add(step{Conn: conn, Code: 219, Ext: map[string]string{"namespace": ns}})
	case 5:
		g.add(step{Conn: conn, Code: 101})
	}
}

// liveOptions are switched on and off; the end of each sequence restores them.
var liveOptions = map[string]string{
	"supportActingMaster": "false", "orderMessageEnable": "false", "deleteTopicWithBrokerRegistration": "false",
	"enableTopicList": "true", "enableAllTopicList": "true", "returnOrderTopicConfigToBroker": "true",
}

func (g *generator) config(conn int) {
	names := []string{
		"supportActingMaster", "supportActingMaster", "supportActingMaster", "orderMessageEnable",
		"deleteTopicWithBrokerRegistration", "enableTopicList", "enableAllTopicList", "returnOrderTopicConfigToBroker",
	}
	body := g.pick(names...) + "=" + g.pick("true", "false", "TRUE", "true ", "x") + "\n"
	if g.chance(10) {
		body += g.pick("kvConfigPath=/x\n", "configBlackList=a\n", "unknownKey=1\n", "waitSecondsForService=abc\n", "bad=\\u00zz\n")
	}
	g.add(step{Conn: conn, Code: 318, Body: body})
}
