package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-mq/epitaph/survey"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func TestDoctorEndsAsItFoundThem(t *testing.T) {
	a, b := kit.NewFake(t, 513, compares...), kit.NewFake(t, 513, compares...)
	broker := kit.NewScript(t, 513, 28, 26)
	broker.Says(28, `{"table":{"brokerVersion":"513","commitLogMaxOffset":"0","commitLogDiskRatio":"0.5"}}`)
	broker.Says(26, "namesrvAddr="+a.Addr+";"+b.Addr+"\naccessKey=hidden\n")
	for _, f := range []*kit.Fake{a, b} {
		f.Change(func(f *kit.Fake) {
			f.Brokers = map[string]string{"c/a/0": broker.Addr}
			f.Topics = map[string]map[string]string{"orders": {"a": "8 8 6"}}
		})
	}
	sick := kit.NewFake(t, 513, compares...)
	sick.Change(func(f *kit.Fake) {
		f.Brokers = map[string]string{"c/a/0": broker.Addr}
		f.Topics = map[string]map[string]string{"orders": {"a": "8 8 4"}}
		f.Options["scanNotActiveBrokerInterval"] = "1"
	})
	hidden := kit.NewScript(t, 513, 28, 26) // a broker that refuses everything
	refusing := kit.NewFake(t, 513, compares...)
	refusing.Change(func(f *kit.Fake) {
		f.Brokers = map[string]string{"c/a/0": hidden.Addr}
		f.Topics = map[string]map[string]string{"orders": {"a": "8 8 6"}}
	})
	nobody := kit.Loopback(kit.FreePort(t))
	both := a.Addr + "," + b.Addr
	for _, c := range []struct {
		name   string
		args   []string
		status int
		words  []string
	}{
		{"healthy", []string{"-n", both}, 0, []string{"2 of 2 NameServers examined", "1 broker address", "0 errors", "NOTE plain-admin", "then 1 broker address"}},
		{"a note is enough", []string{"-n", both, "--fail-on=note"}, 1, []string{"plain-admin"}},
		{"only others", []string{"-n", both, "--fail-on=note", "--skip=plain-admin"}, 0, nil},
		{"sick", []string{"-n", sick.Addr}, 1, []string{"WARNING broker-read-only", "WARNING option-dangerous", "Why: ", "Do: ", "scanNotActiveBrokerInterval=1"}},
		{"sick, and nobody minds", []string{"-n", sick.Addr, "--fail-on=error"}, 0, []string{"WARNING broker-read-only"}},
		{"only one kind", []string{"-n", sick.Addr, "--only=no-master"}, 0, []string{"0 warnings"}},
		{"markdown", []string{"-n", sick.Addr, "--format=markdown", "--mask"}, 1, []string{"## epitaph doctor", "### warning: broker-read-only", "| host-1:"}},
		{"silent", []string{"-n", nobody}, 1, []string{"ERROR nameserver-silent", "nothing listens"}},
		{"a broker that refuses", []string{"-n", refusing.Addr}, 3, []string{"could not be asked: " + hidden.Addr, "code 3"}},
		{"no such degree", []string{"-n", both, "--fail-on=bad"}, 2, []string{"--fail-on"}},
		{"no such format", []string{"-n", both, "--format=xml"}, 2, []string{"--format"}},
		{"no such finding", []string{"-n", both, "--only=no-masters"}, 2, []string{"no-masters", "no-master"}},
	} {
		status, out, errs := run(append([]string{"doctor", "--settle=10ms"}, c.args...)...)
		if status != c.status || !kit.ContainsAll(out+errs, c.words...) || strings.Contains(out+errs, "hidden") {
			t.Errorf("%s: status %d, want %d and %q\n%s%s", c.name, status, c.status, c.words, out, errs)
		}
		if c.name == "markdown" && strings.Contains(out, "127.0.0.1") {
			t.Errorf("an address is shown:\n%s", out)
		}
	}
	status, out, errs := run("doctor", "--json", "-n", sick.Addr)
	var d struct {
		Findings []struct{ Name, Degree string }
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil || status != 1 || len(d.Findings) < 2 || d.Findings[0].Degree != "warning" {
		t.Errorf("status %d, %v: %s%s", status, err, out, errs)
	}
}

func TestDoctorScreen(t *testing.T) {
	a := doctorAnswer{
		NameServers: []diffServer{{Addr: "10.0.0.1:9876", Version: "5.5.0", Brokers: 2}, {Addr: "10.0.0.2:9876", Fault: "10.0.0.2:9876: nothing listens there (connection refused)"}},
		Brokers:     3, Topics: 1234, Missing: []string{"broker-c (id 0) at 10.0.9.3:10911: i/o timeout"},
		Findings: []survey.Finding{
			{Name: "nameserver-silent", Degree: survey.Error, About: "10.0.0.2:9876", Seen: "nothing listens there (connection refused)", Why: "Brokers cannot register there.", Do: "Start it."},
			{Name: "disk-nearly-full", Degree: survey.Warning, About: "broker-a (id 0) at 10.0.0.9:10911", Seen: "the disk of its commit log is 80% full", Why: "Old files go at any hour.", Do: "Free room."},
			{Name: "disk-nearly-full", Degree: survey.Warning, About: "broker-b (id 0) at 10.0.0.8:10911", Seen: "the disk of its commit log is 81% full", Why: "Old files go at any hour.", Do: "Free room."},
			{Name: "plain-admin", Degree: survey.Note, Seen: "anybody may change what they serve (not tried)", Why: "The original asks nobody who he is.", Do: "Close the port."},
		},
	}
	got := shown(t, func(v *view) error { a.text(v); return nil })
	golden(t, "doctor", got)
	fits(t, got)
	golden(t, "doctor_markdown", shown(t, func(v *view) error { a.markdown(v); return nil }))
}

// Hosts have a name each, and what looks like an address and is none of them, such as this machine's own, none.
func TestDoctorMasks(t *testing.T) {
	e := &survey.Evidence{Targets: []survey.Target{{Name: "ns:9876", Addr: "10.0.0.1:9876"}, {Name: "[fd00::1]:9876", Addr: "[fd00::1]:9876"}}}
	a := doctorAnswer{Missing: []string{
		"read tcp 10.9.9.9:40000->10.0.0.1:9876: connection reset by peer", "read tcp [fd00::9]:40000->[fd00::1]:9876: connection reset by peer",
		"lookup ns on [fe80::1%eth0]:53: no such host", "ns:9876 has [5] queues",
	}}
	a.mask(e)
	want := []string{
		"read tcp host:40000->host-1:9876: connection reset by peer", "read tcp host:40000->host-3:9876: connection reset by peer",
		"lookup host-2 on host:53: no such host", "host-2:9876 has [5] queues",
	}
	if !slices.Equal(a.Missing, want) {
		t.Errorf("got %q\nwant %q", a.Missing, want)
	}
}

// A node tries the addresses of its brokers for whoever may open its socket, and no others; not by HTTP.
func TestDoctorFromNode(t *testing.T) {
	data := t.TempDir()
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", data, "--http", "127.0.0.1:0")
	defer s.stop(t, syscall.SIGTERM)
	refuses, stranger := kit.Loopback(kit.FreePort(t)), kit.NewFake(t, 513, compares...)
	kit.NewBroker(t, "gone", refuses, "orders").Register(t, s.addr)
	listens := kit.NewScript(t, 513, 28, 26)
	kit.NewBroker(t, "here", listens.Addr, "orders").Register(t, s.addr)
	stranger.Change(func(f *kit.Fake) {
		f.Brokers = map[string]string{"c/a/0": listens.Addr, "c/b/0": kit.Loopback(kit.FreePort(t))}
	})
	for _, c := range []struct {
		args   string
		status int
		words  []string
	}{
		{"-n " + s.addr + " --data " + data, 1, []string{"one a second of them by the node", "ERROR broker-unreachable", "; node " + data, "does not reach it"}},
		{"-n " + stranger.Addr + " --data " + data, 1, []string{"could not be asked: ", "no broker is registered here at that address"}},
		{"-n " + s.addr + " -a " + s.http, 2, []string{"--from-node", "not by HTTP", "--socket"}},
		{"-a " + s.http, 2, []string{"--from-node"}},
		{"-n " + s.addr + " --socket " + data + "/none", 1, []string{"could not be asked: ", "no node answers at"}},
		{"--data " + data, 3, []string{"gossips with nobody"}},
	} {
		status, out, errs := run(append([]string{"doctor", "--settle=10ms", "--from-node"}, strings.Fields(c.args)...)...)
		if flat := strings.Join(strings.Fields(out+errs), " "); status != c.status || !kit.ContainsAll(flat, c.words...) {
			t.Errorf("%s: status %d, want %d and %q\n%s%s", c.args, status, c.status, c.words, out, errs)
		}
	}
}
