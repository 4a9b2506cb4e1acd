package wire

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestRow068Checksum(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r68")
	r := b.request()
	r.Ext["bodyCrc32"] = "12345"
	has(t, "mismatch", c.Refused(r, 1, "crc32 not match").Header, `"extFields":{},`)
	c.Refused(routeRequest(b.t1()), 17, "")
	r.Ext["bodyCrc32"] = "0"
	c.OK(r)
	c.route(b.t1())
	for i := 0; ; i++ { // a body whose checksum has the top bit
		b.ha = fmt.Sprint("ha", i)
		b.dv.counter = int64(i + 2)
		r = b.request()
		if ieee := crcFull(r.Body); ieee>>31 == 1 {
			c.OK(r)
			r.Ext["bodyCrc32"] = fmt.Sprint(ieee)
			if a := c.Call(r); a.Code != 0 && a.Text() == "crc32 not match" {
				t.Fatalf("want an unparsable number to count as no checksum: %s", a)
			}
			return
		}
	}
}

func TestRow069NoBody(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r69")
	r := b.requestWith(nil)
	r.Ext["bodyCrc32"] = "7"
	c.Refused(r, 1, "crc32 not match")
	if info := c.clusterInfo(); info.BrokerAddrTable[b.name].BrokerName != "" {
		t.Fatal(info)
	}
	r.Ext["bodyCrc32"] = "0"
	c.OK(r)
	if got := c.clusterInfo().BrokerAddrTable[b.name]; got.addrs() != "0="+b.addr {
		t.Fatal(got)
	}
	want(t, "data version", string(c.OK(b.dataVersionQuery()).Body), `{"counter":0,"stateVersion":0,"timestamp":0}`)
}

func TestRow070OldBareWrapper(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r70")
	b.version = 36
	c.OK(b.requestWith([]byte(b.wrapper())))
	c.route(b.t1())
	b.version, b.name, b.addr = 37, unique("r70"), address()
	b.topics = []topic{rw(b.t1()), rw(b.t2())}
	c.OK(b.requestWith([]byte(b.wrapper()))) // a register body whose members are all unknown: no topics
	c.Refused(routeRequest(b.t1()), 17, "")
}

// deflated is b with a compressed body, said to be one.
func (b broker) deflated(withMappings bool) kit.Request {
	r := b.requestWith(b.compressed(withMappings))
	r.Ext["compressed"] = "true"
	return r
}

func TestRow071Compressed(t *testing.T) {
	c := shared(t).dial(t)
	for _, row := range []struct {
		version      int
		withMappings bool
		code         int
	}{{413, true, 0}, {513, true, 0}, {412, false, 0}, {293, false, 0}, {412, true, 0}, {413, false, 1}} {
		b := newBroker("r71")
		b.version = row.version
		b.filters = []string{"f1:1"}
		a := c.Call(b.deflated(row.withMappings))
		if a.Code != row.code || (row.code == 1 && a.ExtFields != nil) {
			t.Fatalf("version %d, mapping part %t: %s", row.version, row.withMappings, a)
		}
		if row.code == 0 {
			c.route(b.t2())
			if r := c.route(b.t1()); *r.queue(b.name) != (queueData{b.name, 4, 4, 6, 0}) || len(r.FilterServerTable[b.addr]) != 1 {
				t.Fatalf("%+v", r)
			}
		} else {
			c.Refused(routeRequest(b.t1()), 17, "")
		}
	}
}

func TestRow072CompressedLosesUnitFlag(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r72")
	b.topics[0].unitFlag, b.topics[0].perm = 3, 7
	c.OK(b.deflated(true))
	if q := c.route(b.t1()).queue(b.name); q.TopicSysFlag != 0 || q.Perm != 7 {
		t.Fatal(q)
	}
}

func TestRow073BadCompressionRefused(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r73")
	var raw bytes.Buffer
	w, _ := flate.NewWriter(&raw, flate.DefaultCompression)
	w.Write([]byte(b.body()))
	w.Close()
	for name, body := range map[string][]byte{
		"raw deflate": raw.Bytes(), "JSON": []byte(b.body()), "JSON in zlib": deflate([]byte(b.body())),
		"cut short": b.compressed(true)[:60], "negative length": deflate([]byte{0xff, 0xff, 0xff, 0xff}),
		"no body": nil,
	} {
		r := b.requestWith(body)
		r.Ext["compressed"] = "true"
		if a := c.Call(r); (a.Code == 0) != (name == "no body") {
			t.Errorf("%s: %s", name, a)
		}
	}
	c.Refused(routeRequest(b.t1()), 17, "")
}

func TestRow074BareIntegerKeysInBody(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r74")
	b.mappings = `{"` + b.t1() + `":{"bname":"` + b.name + `","currIdMap":{0:0,3:1},"dirty":false,"epoch":9,"scope":"__global__","topic":"` + b.t1() + `","totalQueues":4}}`
	c.register(b)
	has(t, "mapping", c.routeAs(b.t1(), 317, ""), `"currIdMap":{0:0,3:1},"dirty":false,"epoch":9,`)
}

func TestRow075RefInBody(t *testing.T) {
	c := shared(t).dial(t)
	for _, name := range []string{"under_score", "%RETRY%group", "hy-phen"} {
		b := newBroker("r75")
		first, second := name+strings.ReplaceAll(b.name, "-", "_"), b.t2()
		b.topics = []topic{rw(first), rw(second)}
		ref := `"attributes":{"$ref":"$.topicConfigSerializeWrapper.topicConfigTable.` + strings.ReplaceAll(first, "-", `\\-`) + `.attributes"}`
		body := b.body()
		i := strings.LastIndex(body, `"attributes":{}`)
		c.OK(b.requestWith([]byte(body[:i] + ref + body[i+len(`"attributes":{}`):])))
		c.route(first)
		c.route(second)
	}
}

func TestRow076UnknownAndMissingMembers(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r76")
	d1, d2 := b.name+"-D1", b.name+"-D2"
	c.OK(b.requestWith([]byte(`{"new":{"deep":[{"x":1}]},"topicConfigSerializeWrapper":{"topicConfigTable":{"` +
		d1 + `":{"topicName":"` + d1 + `"},"` + d2 + `":{"unknown":[null],"topicName":"` + d2 + `","perm":"2","readQueueNums":3.9}}}}`)))
	if q := c.route(d1).queue(b.name); *q != (queueData{b.name, 16, 16, 6, 0}) {
		t.Fatal(q)
	}
	if q := c.route(d2).queue(b.name); *q != (queueData{b.name, 3, 16, 2, 0}) {
		t.Fatal(q)
	}
	for _, body := range []string{`{}`, `{"topicConfigSerializeWrapper":{}}`, `{"filterServerList":null}`} {
		empty := newBroker("r76")
		c.OK(empty.requestWith([]byte(body)))
		want(t, body, addrsOf(c.clusterInfo(), empty.name), "0="+empty.addr)
	}
}

// What 5.5.0 makes of members that are odd but no mistake.
func TestRow076OddMembers(t *testing.T) {
	c := shared(t).dial(t)
	for members, wanted := range map[string]queueData{
		`"readQueueNums":null`:              {"", 0, 16, 6, 0},
		`"PERM":2,"write_queue_nums":3`:     {"", 16, 16, 6, 0},
		`'perm':2,/* no */"topicSysFlag":1`: {"", 16, 16, 2, 1},
		`"topicFilterType":"NO_SUCH"`:       {"", 16, 16, 6, 0},
		`"perm":2,"perm":4,`:                {"", 16, 16, 4, 0},
		`"perm":-1.9,"order":"true"`:        {"", 16, 16, -1, 0},
	} {
		b := newBroker("r76")
		a := c.Call(b.requestWith([]byte(`{"topicConfigSerializeWrapper":{"topicConfigTable":{"` + b.t1() + `":{"topicName":"` + b.t1() + `",` + members +
			`},"` + b.t2() + `":{"topicName":"` + b.t2() + `"}}}}`)))
		if a.Code != 0 {
			t.Errorf("%s: %s", members, a)
			continue
		}
		wanted.BrokerName = b.name
		if got := c.queueOf(b.t1(), b.name); got != wanted {
			t.Errorf("%s: got %+v, want %+v", members, got, wanted)
		}
	}
}

func TestRow077TopicNameWins(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r77")
	c.OK(b.requestWith([]byte(strings.Replace(b.body(), `{"`+b.t1()+`":`, `{"`+b.name+`-key":`, 1))))
	c.route(b.t1())
	c.Refused(routeRequest(b.name+"-key"), 17, "")
}

func TestRow078UndecodableBody(t *testing.T) {
	c := shared(t).dial(t)
	good := newBroker("r78").body()
	for name, body := range map[string]string{
		"xx": `xx`, "null": `null`, "array": `[]`, "trailing": good + "x", "cut": good[:len(good)-5],
		"unquoted names": `{topicConfigSerializeWrapper:{}}`, "huge number": `{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{"topicName":"t","perm":99999999999}}}}`,
		"null topic":       `{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":null}}}`,
		"order no boolean": `{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{"topicName":"t","order":"maybe"}}}}`,
	} {
		b := newBroker("r78")
		a := c.Call(b.requestWith([]byte(body)))
		if name != "null topic" && (a.Code != 1 || a.ExtFields != nil || len(a.Body) != 0) {
			t.Errorf("%s: %s", name, a)
		}
		if name == "null topic" && a.Code != 1 {
			t.Errorf("%s: %s", name, a)
		}
		c.Refused(routeRequest(b.t1()), 17, "")
	}
	c.Usable()
}

func TestRow079BrokerIDOrFieldsMissing(t *testing.T) {
	c := shared(t).dial(t)
	for _, id := range []string{"", "x", "1.5", " 1", "none"} {
		b := newBroker("r79")
		r := b.request()
		r.Ext["brokerId"] = id
		if id == "none" {
			delete(r.Ext, "brokerId")
		}
		if a := c.Refused(r, 1, ""); a.ExtFields != nil {
			t.Fatal(a)
		}
		c.Refused(routeRequest(b.t1()), 17, "")
	}
	r := newBroker("r79").request()
	r.Ext = nil
	if a := c.Refused(r, 1, ""); a.ExtFields != nil || a.Text() == "" {
		t.Fatal(a)
	}
}

func TestRow080NegativeVersion(t *testing.T) {
	c := shared(t).dial(t)
	b := newBroker("r80")
	b.version = -1
	c.Refused(b.request(), 1, "")
	c.Refused(routeRequest(b.t1()), 17, "")
	c.OK(kit.Request{Code: 206, Version: -1})
	b.version = 99999
	c.register(b)
}
