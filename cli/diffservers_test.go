package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/survey"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// compares are the codes that a comparison may send.
var compares = []int{105, 106, 206, 219, 319}

func TestDiffOfServersEndsAsItFoundThem(t *testing.T) {
	a, b, other := kit.NewFake(t, 513, compares...), kit.NewFake(t, 513, compares...), kit.NewFake(t, 513, compares...)
	other.Change(func(f *kit.Fake) { f.Topics["orders"]["a"] = "8 4 6"; delete(f.Brokers, "c/a/1") })
	nobody := kit.Loopback(kit.FreePort(t))
	for _, c := range []struct {
		name   string
		args   []string
		status int
		words  []string // on either stream
	}{
		{"agree", []string{"-n", a.Addr + ";" + b.Addr}, 0, []string{"2 NameServers compared", "2 topics", "they agree", "asking 2 NameServers", "nothing is changed"}},
		{"differ", []string{"-n", a.Addr + "," + b.Addr + ", " + other.Addr}, 1,
			[]string{"they DIFFER", "10.0.0.2:10911", "Topics of a:", "differing: orders", "read 8 write 4 perm rw at " + other.Addr}},
		{"one is silent", []string{"-n", a.Addr + "," + b.Addr + "," + nobody}, 3, []string{"not compared: " + nobody, "nothing listens there"}},
		{"one differs and one is silent", []string{"-n", a.Addr + "," + other.Addr + "," + nobody}, 1, []string{"they DIFFER", nobody}},
		{"alone", []string{"-n", a.Addr}, 3, []string{"nobody to compare"}},
		{"the same one twice", []string{"-n", a.Addr + "," + a.Addr}, 3, []string{"nobody to compare"}},
		{"all are silent", []string{"-n", nobody}, 3, []string{nobody}},
		{"no port", []string{"-n", "127.0.0.1"}, 2, []string{"HOST:PORT"}},
		{"no such port", []string{"-n", "127.0.0.1:99999"}, 2, []string{"99999"}},
		{"separators alone", []string{"-n", ";,"}, 2, []string{"HOST:PORT"}},
		{"a secret", []string{"-n", a.Addr, "--secret-key", "12345678"}, 2, []string{"--acl-file"}},
		{"a secret for a file", []string{"-n", a.Addr, "--acl-file", "name:12345678"}, 2, []string{"want a file"}},
		{"no rate", []string{"-n", a.Addr, "--rate=0"}, 2, []string{"--rate"}},
		{"no time", []string{"-n", a.Addr, "--timeout=0s"}, 2, []string{"--timeout"}},
		{"watched too closely", []string{"-n", a.Addr, "--watch=1ms"}, 2, []string{"--watch"}},
		{"two ways of TLS", []string{"-n", a.Addr, "--tls", "--tls-config=x"}, 2, []string{"--tls"}},
	} {
		status, out, errs := run(append([]string{"diff", "--settle=10ms"}, c.args...)...)
		if status != c.status || !kit.ContainsAll(out+errs, c.words...) || strings.Contains(out+errs, "12345678") {
			t.Errorf("%s: status %d, want %d and %q\n%s%s", c.name, status, c.status, c.words, out, errs)
		}
	}
}

func TestDiffOfServersAsJSON(t *testing.T) {
	a, b := kit.NewFake(t, 513, compares...), kit.NewFake(t, 401, compares...)
	b.Change(func(f *kit.Fake) { delete(f.Brokers, "c/a/1") })
	status, out, errs := run("diff", "--settle=10ms", "--json", "-n", a.Addr+","+b.Addr)
	var d diffAnswer
	if err := json.Unmarshal([]byte(out), &d); err != nil || status != 1 {
		t.Fatalf("status %d, %v: %s%s", status, err, out, errs)
	}
	if d.Agree || !d.Complete || len(d.Differences) != 1 || *d.Differences[0].ID != 1 || d.NameServers[1].Version != "4.9.4" || len(d.Differences[0].Values) != 2 {
		t.Errorf("%s", out)
	}
}

// Every request is signed with the key of --acl-file, and the secret is nowhere.
func TestDiffOfServersSigns(t *testing.T) {
	a, b := kit.NewFake(t, 513, compares...), kit.NewFake(t, 513, compares...)
	file := kit.WriteFile(t, filepath.Join(t.TempDir(), "tools.yml"), []byte("accessKey: rocketmq2\nsecretKey: '12345678'\n"))
	status, out, errs := run("diff", "-n", a.Addr+","+b.Addr, "--acl-file", file)
	if status != 0 || strings.Contains(out+errs, "12345678") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	for _, r := range append(a.Requests(), b.Requests()...) {
		if r.Ext["AccessKey"] != "rocketmq2" || len(r.Ext["Signature"]) != 28 || strings.Contains(fmt.Sprint(r.Ext), "12345678") {
			t.Errorf("code %d: %v", r.Code, r.Ext)
		}
	}
	bad := kit.WriteFile(t, filepath.Join(t.TempDir(), "tools.yml"), []byte("accessKey: rocketmq2\nsecretKey: 012345\n"))
	if status, out, errs = run("diff", "-n", a.Addr, "--acl-file", bad); status != 2 || !strings.Contains(errs, "line 2: secretKey") || strings.Contains(errs, "012345") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
}

// sampleServers are three NameServers of which each lacks something else.
func sampleServers() ([]survey.Target, *survey.Result) {
	targets := []survey.Target{{Name: "ns:9876", Addr: "10.0.0.1:9876"}, {Name: "ns:9876", Addr: "10.0.0.2:9876"}, {Name: "10.0.0.3:9876", Addr: "10.0.0.3:9876"}}
	has := func(texts ...string) (all []survey.Value) {
		for _, text := range texts {
			all = append(all, survey.Value{Known: text != "?", Held: text != "-" && text != "?", Text: strings.Trim(text, "-?")})
		}
		return all
	}
	return targets, &survey.Result{
		Views: []*survey.View{{Version: 513}, {Version: 513}, {Version: 407}}, Topics: 1234,
		Told: []survey.Difference{
			{Subject: survey.Subject{Kind: survey.KindBroker, Cluster: "DefaultCluster", Broker: "broker-a"}, Values: has("10.0.0.9:10911", "10.0.0.9:10911", "-")},
			{Subject: survey.Subject{Kind: survey.KindBroker, Cluster: "DefaultCluster", Broker: "broker-b", ID: 1}, Values: has("10.0.0.8:10911", "10.0.0.7:10911", "?")},
			{Subject: survey.Subject{Kind: survey.KindTopic, Topic: "orders", Broker: "broker-c"}, Values: has("read 8 write 8 perm rw", "-", "read 8 write 8 perm rw")},
			{Subject: survey.Subject{Kind: survey.KindTopic, Topic: "payments", Broker: "broker-c"}, Values: has("read 8 write 8 perm rw", "-", "read 8 write 8 perm rw")},
			{Subject: survey.Subject{Kind: survey.KindTopic, Topic: "refunds", Broker: "broker-c"}, Values: has("read 8 write 8 perm rw", "read 8 write 8 perm rw", "read 8 write 8 perm r")},
			{Subject: survey.Subject{Kind: survey.KindOrder, Topic: "orders"}, Values: has("broker-c:8", "-", "broker-c:8")},
			{Subject: survey.Subject{Kind: survey.KindOption, Key: "orderMessageEnable"}, Values: has("true", "false", "true")},
		},
		Once:    []survey.Difference{{Subject: survey.Subject{Kind: survey.KindTopic, Topic: "new", Broker: "broker-c"}, Values: has("read 4 write 4 perm rw", "-", "-")}},
		More:    17,
		Notes:   []string{"10.0.0.2:9876: enableAllTopicList=false: it lists no topics, so it is asked for those that the others list"},
		Missing: []string{"10.0.0.3:9876: its options are not compared: it answers code 16: no permission"},
	}
}

func TestDiffOfServersScreen(t *testing.T) {
	targets, r := sampleServers()
	got := shown(t, func(v *view) error { return v.diffOfServers(targets, r) })
	golden(t, "diff_servers", got)
	fits(t, got)
}

// Each change is told once, and what is over with how long it lasted.
func TestDiffOfServersWatches(t *testing.T) {
	a, b := kit.NewFake(t, 513, compares...), kit.NewFake(t, 513, compares...)
	var out kit.Log
	v := &view{out: &out, now: time.Now, whole: true, limit: 10}
	p := &program{stdout: &out, stderr: &out}
	addr := a.Addr + "," + b.Addr
	s := &surveyed{p: p, servers: &addr}
	s.flags()
	addr = a.Addr + "," + b.Addr
	s.settle = time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	sv, err := s.open(ctx)
	kit.Must(t, err)
	defer sv.Close()
	go func() { ended <- v.watchDiff(ctx, s, sv, 20*time.Millisecond) }()
	out.AwaitText(t, "they agree")
	b.Change(func(f *kit.Fake) { f.Topics["orders"]["a"] = "4 4 6" })
	out.AwaitText(t, "differs: topic orders at broker a")
	b.Change(func(f *kit.Fake) { f.Topics["orders"]["a"] = "8 8 6" })
	out.AwaitText(t, "no more after")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := len(regexp.MustCompile(`(?m)^[0-9:]+ differs: `).FindAllString(out.String(), -1)); n != 1 {
		t.Errorf("told %d times:\n%s", n, out.String())
	}
}

// Whoever accepts connections and says nothing, or something else, is a sentence within the timeout.
func TestDiffOfServersThatAreNone(t *testing.T) {
	a := kit.NewFake(t, 513, compares...)
	silent := kit.Listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	status, out, errs := run("diff", "--timeout=200ms", "-n", a.Addr+","+silent)
	if status != 3 || !kit.ContainsAll(out+errs, silent, "does not answer in time") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
}

// A watch that ends before anybody answered knows nothing, and says so.
func TestWatchRouteThatEndsAtOnce(t *testing.T) {
	silent := kit.Listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	status, out, errs := run("watch-route", "-n", silent, "--for=10ms", "--every=1h", "orders")
	if status != 3 || out != "" || !strings.Contains(errs, "ended before") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
}

func TestWatchRoute(t *testing.T) {
	a, b, other := kit.NewFake(t, 513, 105), kit.NewFake(t, 513, 105), kit.NewFake(t, 407, 105)
	other.Change(func(f *kit.Fake) { f.Topics["orders"]["a"] = "8 4 6" })
	nobody := kit.Loopback(kit.FreePort(t))
	for _, c := range []struct {
		args   []string
		status int
		words  []string
	}{
		{[]string{"-n", a.Addr + "," + b.Addr, "orders"}, 0, []string{"they agree: a (read 8 write 8 perm rw)", "every 10ms"}},
		{[]string{"-n", a.Addr + "," + b.Addr, "nothing"}, 0, []string{"they agree: nobody has nothing"}},
		{[]string{"-n", a.Addr + "," + other.Addr, "orders"}, 1, []string{"they DISAGREE", other.Addr + " say: a (read 8 write 4 perm rw)"}},
		{[]string{"-n", a.Addr + "," + nobody, "orders"}, 3, []string{nobody + ": nothing listens there"}},
		{[]string{"-n", a.Addr, "--json", "orders"}, 0, []string{`"event":"agree"`}},
		{[]string{"-n", a.Addr}, 2, []string{"TOPIC"}},
		{[]string{"-n", a.Addr, "--every=1ms", "orders"}, 2, []string{"--every"}},
	} {
		status, out, errs := run(append([]string{"watch-route", "--every=10ms", "--for=100ms"}, c.args...)...)
		if status != c.status || !kit.ContainsAll(out+errs, c.words...) {
			t.Errorf("%q: status %d, want %d and %q\n%s%s", c.args, status, c.status, c.words, out, errs)
		}
	}
}
