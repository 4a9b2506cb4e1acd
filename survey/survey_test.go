package survey

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestMain(m *testing.M) { kit.MainWithoutLeaks(m) }

// reads are the codes of a comparison.
var reads = []int{105, 106, 206, 219, 319}

type fake = kit.Fake

func newFake(t testing.TB, version int) *fake { return kit.NewFake(t, version, reads...) }

func surveyOf(t testing.TB, fakes ...*fake) *Survey {
	t.Helper()
	var names []string
	for _, f := range fakes {
		names = append(names, f.Addr)
	}
	return surveyOfAddrs(t, names...)
}

func surveyOfAddrs(t testing.TB, names ...string) *Survey {
	t.Helper()
	targets, err := Resolve(t.Context(), names, time.Second)
	kit.Must(t, err)
	s := New(targets, Access{Timeout: 2 * time.Second, Rate: 100_000})
	s.Settle = 10 * time.Millisecond
	t.Cleanup(s.Close)
	return s
}

func diff(t testing.TB, s *Survey) *Result {
	t.Helper()
	r, err := s.Diff(t.Context())
	kit.Must(t, err)
	return r
}

// told is every difference in words, with the number of the NameServers.
func told(all []Difference) (lines []string) {
	for _, d := range all {
		line := d.String() + ":"
		for _, v := range d.Values {
			switch {
			case !v.Known:
				line += " ?"
			case !v.Held:
				line += " -"
			default:
				line += " [" + v.Text + "]"
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func wantLines(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestNameServersThatAgree(t *testing.T) {
	a, b, c := newFake(t, 513), newFake(t, 475), newFake(t, 407)
	c.Change(func(f *fake) { f.Options["serverWorkerThreads"] = "4" }) // another release has another default
	r := diff(t, surveyOf(t, a, b, c))
	if !r.Agree() || !r.Complete() || r.Topics != 2 || r.Compared() != 3 || len(r.Once)+len(r.Notes) != 0 {
		t.Errorf("%+v", r)
	}
	if n := len(a.Requests()); n > 10 { // they agree at the first look, so there is no second one
		t.Errorf("%d requests for two topics: %v", n, a.Requests())
	}
}

func TestEachKindOfDifference(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *fake)
		want   []string
	}{
		"a broker is not there, and its topics are no differences of their own": {
			func(f *fake) {
				delete(f.Brokers, "c/b/0")
				delete(f.Topics["orders"], "b")
				delete(f.Topics["TBW102"], "b")
			},
			[]string{"broker b (id 0) of cluster c: [10.0.0.3:10911] -"},
		},
		"a slave is not there": {
			func(f *fake) { delete(f.Brokers, "c/a/1") },
			[]string{"broker a (id 1) of cluster c: [10.0.0.2:10911] -"},
		},
		"an address": {
			func(f *fake) { f.Brokers["c/a/0"] = "10.9.9.9:10911" },
			[]string{"broker a (id 0) of cluster c: [10.0.0.1:10911] [10.9.9.9:10911]"},
		},
		"an id": {
			func(f *fake) { f.Brokers["c/a/2"] = f.Brokers["c/a/1"]; delete(f.Brokers, "c/a/1") },
			[]string{"broker a (id 1) of cluster c: [10.0.0.2:10911] -", "broker a (id 2) of cluster c: - [10.0.0.2:10911]"},
		},
		"a topic": {
			func(f *fake) { delete(f.Topics, "orders") },
			[]string{"topic orders at broker a: [read 8 write 8 perm rw] -", "topic orders at broker b: [read 8 write 8 perm rw] -"},
		},
		"a topic at one broker": {
			func(f *fake) { delete(f.Topics["orders"], "b") },
			[]string{"topic orders at broker b: [read 8 write 8 perm rw] -"},
		},
		"queue numbers": {
			func(f *fake) { f.Topics["orders"]["a"] = "8 4 6" },
			[]string{"topic orders at broker a: [read 8 write 8 perm rw] [read 8 write 4 perm rw]"},
		},
		"a permission": {
			func(f *fake) { f.Topics["orders"]["a"] = "8 8 4" },
			[]string{"topic orders at broker a: [read 8 write 8 perm rw] [read 8 write 8 perm r]"},
		},
		"an order configuration": {
			func(f *fake) { f.Orders["orders"] = "a:8;b:8" },
			[]string{"the order configuration of topic orders: - [a:8;b:8]"},
		},
		"an option": {
			func(f *fake) { f.Options["orderMessageEnable"] = "true" },
			[]string{"the option orderMessageEnable: [false] [true]"},
		},
		"an option that only matters within one release": {
			func(f *fake) { f.Options["serverWorkerThreads"] = "9" },
			[]string{"the option serverWorkerThreads: [8] [9]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newFake(t, 513), newFake(t, 513)
			b.Change(c.change)
			r := diff(t, surveyOf(t, a, b))
			wantLines(t, told(r.Told), c.want...)
			if !r.Complete() || len(r.Once) != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A difference that is over, or has become another one, at the second look is not told.
func TestSeenOnceIsNotTold(t *testing.T) {
	for name, heal := range map[string]func(f *fake){
		"healed":        func(f *fake) { f.Topics["orders"]["a"] = "8 8 6"; f.Brokers["c/a/0"] = "10.0.0.1:10911" },
		"another value": func(f *fake) { f.Topics["orders"]["a"] = "2 2 6"; f.Brokers["c/a/0"] = "10.0.0.8:10911" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newFake(t, 513), newFake(t, 513)
			b.Change(func(f *fake) { f.Topics["orders"]["a"] = "4 4 6"; f.Brokers["c/a/0"] = "10.0.0.7:10911" })
			asked := 0
			b.On(106, func(map[string]string) kit.Reply {
				if asked++; asked == 2 {
					b.Change(heal)
				}
				return kit.OK(b.Cluster())
			})
			r := diff(t, surveyOf(t, a, b))
			if !r.Agree() || len(r.Once) == 0 {
				t.Errorf("told %q, once %q", told(r.Told), told(r.Once))
			}
		})
	}
}

// What cannot be asked is missing, and the others are compared all the same.
func TestWhatCannotBeAsked(t *testing.T) {
	text := func(answer string) string {
		return kit.Listen(t, func(c net.Conn) {
			b := make([]byte, 1)
			if _, err := c.Read(b); err == nil && answer != "" {
				_, _ = c.Write([]byte(answer))
			}
			_, _ = c.Read(make([]byte, 1<<16)) // until the other side has had enough
		})
	}
	silent := kit.Listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	cut := kit.NewScript(t, 513, reads...)
	cut.On(106, func(map[string]string) kit.Reply { return kit.Reply{Body: make([]byte, 1<<20), Cut: true} })
	for name, c := range map[string]struct{ addr, want string }{
		"HTTP":             {text("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "not RocketMQ's protocol"},
		"nothing listens":  {kit.Loopback(kit.FreePort(t)), "nothing listens there"},
		"says nothing":     {silent, "does not answer in time"},
		"cuts its answers": {cut.Addr, "in the middle of an answer"},
		"no such name":     {"no-such-host.invalid:9876", "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newFake(t, 513), newFake(t, 513)
			b.Change(func(f *fake) { f.Brokers["c/a/0"] = "10.0.0.7:10911" })
			s := surveyOfAddrs(t, a.Addr, c.addr, b.Addr)
			s.access.Timeout = 3 * time.Second // in which those that live answer on a busy machine
			r := diff(t, s)
			wantLines(t, told(r.Told), "broker a (id 0) of cluster c: [10.0.0.1:10911] ? [10.0.0.7:10911]")
			if len(r.Missing) != 1 || !strings.Contains(r.Missing[0], c.want) || r.Complete() {
				t.Errorf("missing: %q, want %q", r.Missing, c.want)
			}
		})
	}
}

// The same fault reads the same each time, for diff --watch tells what changes.
func TestFaultsReadAlike(t *testing.T) {
	resets := kit.Listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.(*net.TCPConn).SetLinger(0)
	})
	said := func() string {
		p := NewPeer(resets, NameServer, &Access{Timeout: time.Second, Rate: 100})
		defer p.Close()
		_, err := p.Ask(t.Context(), 106, nil)
		return fmt.Sprint(err)
	}
	if first, second := said(), said(); first != second || !kit.ContainsAll(first, "ends the connection", "reset") {
		t.Errorf("%s\n%s", first, second)
	}
}

// Options that hide something explain it by their name.
func TestWhatOptionsHide(t *testing.T) {
	a, b := newFake(t, 513), newFake(t, 513)
	b.Change(func(f *fake) {
		f.Options["enableAllTopicList"] = "false"
		f.Topics["orders"]["a"] = "4 4 6"
	})
	b.On(206, func(map[string]string) kit.Reply { return kit.Reply{Code: 1, Remark: "disable"} })
	r := diff(t, surveyOf(t, a, b))
	wantLines(t, told(r.Told), "topic orders at broker a: [read 8 write 8 perm rw] [read 4 write 4 perm rw]",
		"the option enableAllTopicList: [true] [false]")
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "enableAllTopicList") || !r.Complete() {
		t.Errorf("notes %q, missing %q", r.Notes, r.Missing)
	}
	waiting := newFake(t, 513)
	waiting.On(105, func(map[string]string) kit.Reply { return kit.Reply{Code: 1, Remark: "name server not ready"} })
	r = diff(t, surveyOf(t, a, waiting))
	if len(r.Missing) != 1 || !strings.Contains(r.Missing[0], "needWaitForService") || !r.Agree() {
		t.Errorf("missing %q, told %q", r.Missing, told(r.Told))
	}
}

// Differences of many topics are counted beyond the limit, and one NameServer that loses connections is asked again.
func TestManyTopics(t *testing.T) {
	a, b := newFake(t, 513), newFake(t, 513)
	for i := range 3000 {
		name := fmt.Sprintf("topic-%04d", i)
		a.Topics[name] = map[string]string{"a": "8 8 6", "b": "8 8 6"}
		b.Topics[name] = a.Topics[name]
		if i%10 == 0 {
			b.Topics[name] = map[string]string{"a": "8 8 6", "b": "8 8 4"}
		}
	}
	asked := 0
	var mu sync.Mutex
	b.On(105, func(ext map[string]string) kit.Reply {
		mu.Lock()
		asked++
		cut := asked%500 == 0
		mu.Unlock()
		r := b.Route(ext)
		r.Cut = cut
		return r
	})
	s := surveyOf(t, a, b)
	s.Limit = 7
	r := diff(t, s)
	if r.Topics != 3002 || len(r.Told) != 7 || r.More != 293 || !r.Complete() {
		t.Errorf("%d topics, told %q and %d more, missing %q", r.Topics, told(r.Told), r.More, r.Missing)
	}
}

// Whatever code is asked for, nothing but what reads goes out.
func TestTheLaw(t *testing.T) {
	for role, may := range map[Role][]int32{NameServer: {105, 106, 206, 219, 319}, Broker: {28, 26}} {
		f := kit.NewScript(t, 513)
		p := NewPeer(f.Addr, role, &Access{Timeout: time.Second, Rate: 100_000})
		defer p.Close()
		for code := range int32(1000) {
			if slices.Contains(may, code) {
				continue
			}
			if _, err := p.Ask(t.Context(), code, nil); err == nil || !strings.Contains(err.Error(), "only reads") {
				t.Errorf("role %v: code %d: %v", role, code, err)
			}
		}
		if n := len(f.Requests()); n != 0 {
			t.Errorf("%d requests went out", n)
		}
	}
}
