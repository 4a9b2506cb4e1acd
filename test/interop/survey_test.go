package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// looked is what a command that looks from outside printed, and how it ended.
type looked struct {
	status    int
	out, errs string
}

// look runs a command of the program.
func look(t *testing.T, args ...string) looked {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, kit.Binary(t), args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("run %q: %v", args, err)
	}
	return looked{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// served is the differences of diff -n --json, each as its kind and what it is about.
func (l looked) served(t *testing.T) (kinds []string, complete bool) {
	t.Helper()
	var d struct {
		Complete    bool `json:"complete"`
		Differences []struct{ Kind, Broker, Topic, Key string }
	}
	if err := json.Unmarshal([]byte(l.out), &d); err != nil {
		t.Fatalf("%v: %s%s", err, l.out, l.errs)
	}
	for _, one := range d.Differences {
		kinds = append(kinds, strings.Join(slices.DeleteFunc([]string{one.Kind, one.Broker, one.Topic, one.Key}, func(s string) bool { return s == "" }), " "))
	}
	return kinds, d.Complete
}

// beside are NameServers of every make side by side: Java ones, ours, and the Rust one where it is installed.
func beside(t *testing.T, versions ...string) (addrs []string) {
	t.Helper()
	for _, v := range versions {
		addrs = append(addrs, java.StartNameServer(t, v, java.NameServerOptions{}).Addr)
	}
	addrs = append(addrs, kit.Serve(t, kit.Binary(t), "ours", t.TempDir()).Addr)
	if rust, err := exec.LookPath("rocketmq-namesrv-rust"); err != nil {
		t.Log("SKIPPED: the Rust NameServer is not installed (cargo install rocketmq-namesrv)")
	} else {
		addrs = append(addrs, startRust(t, rust))
	}
	return addrs
}

func startRust(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	port := kit.FreePort(t)
	cmd := exec.Command(program, "--rocketmqHome", dir, "--listenPort", fmt.Sprint(port), "--bindAddress", "127.0.0.1", "--kvConfigPath", filepath.Join(dir, "kv.json"))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "ROCKETMQ_HOME="+dir)
	kit.Start(t, cmd)
	addr := kit.Loopback(port)
	kit.Await(t, soon, "the Rust name server answers", func() error {
		a, err := kit.Ask(addr, kit.Request{Code: 106})
		return a.Failed(err)
	})
	return addr
}

// NameServers of every make that were told the same agree, by every command, and what one was not told is told. Brokers of 4.x are
// left out: the Rust one takes none of their registrations, which the doctor says.
func TestAnyNameServers(t *testing.T) {
	versions := []string{"5.3.3"}
	if long() {
		versions = []string{"5.3.3", "5.3.3", "5.3.3", "5.5.0", "4.9.7"}
	}
	need(t, int64(len(versions))+1)
	addrs := beside(t, versions...)
	all := strings.Join(addrs, ";")
	if long() {
		broker := java.StartBroker(t, java.BrokerOptions{Version: "5.3.3", NameServers: all, Name: "broker-a"})
		for _, addr := range addrs {
			kit.AwaitServes(t, 2*soon, addr, "TBW102", broker.Addr, true)
		}
	}
	kit.Await(t, 2*soon, "all agree", func() error {
		for _, command := range []string{"diff", "status"} {
			if l := look(t, command, "--json", "-n", all); l.status != 0 {
				return fmt.Errorf("%s: status %d: %s%s", command, l.status, l.out, l.errs)
			}
		}
		l := look(t, "doctor", "--settle=1s", "--json", "-n", all)
		if grave, found := l.found(t); l.status != 0 || len(grave) != 0 || !slices.Equal(found, []string{"plain-admin"}) {
			return fmt.Errorf("doctor: status %d: %q: %s", l.status, grave, l.out)
		}
		return nil
	})
	watched(t, addrs)
	// One is told of an order configuration and of another broker's topics.
	_, err := kit.Ask(addrs[0], kit.Request{Code: 100, Ext: map[string]string{"namespace": "ORDER_TOPIC_CONFIG", "key": "orders", "value": "broker-a:4"}})
	kit.Must(t, err)
	stray := kit.NewBroker(t, "stray", "127.0.0.1:1", "stray-topic")
	stray.Register(t, addrs[1])
	l := look(t, "diff", "--settle=1s", "--json", "-n", all)
	kinds, _ := l.served(t)
	if l.status != 1 || !slices.Equal(kinds, []string{"broker stray", "order orders"}) {
		t.Errorf("status %d: %q\n%s", l.status, kinds, l.out)
	}
	l = look(t, "status", "-n", all)
	if l.status != 1 || !kit.ContainsAll(l.out, "they DIFFER", "broker stray") {
		t.Errorf("status %d:\n%s%s", l.status, l.out, l.errs)
	}
	if grave, _ := look(t, "doctor", "--settle=1s", "--json", "-n", all).found(t); !slices.ContainsFunc(grave, func(g string) bool {
		return strings.HasPrefix(g, "broker-partly-registered: stray")
	}) {
		t.Errorf("the doctor found %q", grave)
	}
}

// watched is a broker that registers at one NameServer, and later at the others, as watch-route sees it.
func watched(t *testing.T, addrs []string) {
	t.Helper()
	p := kit.Start(t, exec.Command(kit.Binary(t), "watch-route", "--every=200ms", "-n", strings.Join(addrs, ","), "watched"))
	says := func(words string) {
		t.Helper()
		if _, err := p.Line(regexp.MustCompile(words), 2*soon); err != nil {
			t.Fatalf("%v\n%s", err, p.Output())
		}
	}
	says("they agree: nobody has watched")
	b := kit.NewBroker(t, "watched-broker", "127.0.0.1:1", "watched")
	b.Register(t, addrs[0])
	says("they DISAGREE: .*" + addrs[0] + " say: watched-broker")
	b.Register(t, addrs[1:]...)
	says("they agree again after .*, give or take .*: watched-broker")
	b.Unregister(t, addrs[0])
	says("they DISAGREE: .*" + addrs[0] + " say: nobody has watched")
	for _, addr := range addrs[1:] {
		b.Unregister(t, addr)
	}
	says("they agree again after .*: nobody has watched")
	kit.Must(t, p.Signal(syscall.SIGINT))
	if status, err := p.Wait(soon); err != nil || status != 0 {
		t.Errorf("it ended with %d, %v\n%s", status, err, p.Output())
	}
}

// found are the findings of doctor --json at or above warning, and all of them by name.
func (l looked) found(t *testing.T) (grave, all []string) {
	t.Helper()
	var d struct {
		Findings []struct{ Name, Degree, About, Seen string }
	}
	if err := json.Unmarshal([]byte(l.out), &d); err != nil {
		t.Fatalf("%v: %s%s", err, l.out, l.errs)
	}
	for _, f := range d.Findings {
		all = append(all, f.Name)
		if f.Degree != "note" {
			grave = append(grave, f.Name+": "+f.About+": "+f.Seen)
		}
	}
	return grave, all
}

// A healthy cluster by the defaults of each release has no warning, and real faults are found by their names.
func TestDoctor(t *testing.T) {
	for _, version := range []string{"5.5.0", "4.9.7", "5.3.3"} {
		t.Run(version, func(t *testing.T) {
			needLong(t)
			need(t, 4)
			a, b := java.StartNameServer(t, version, java.NameServerOptions{TLS: true}), java.StartNameServer(t, version, java.NameServerOptions{TLS: true})
			both := a.Addr + ";" + b.Addr
			one := java.LaunchBroker(t, java.BrokerOptions{Version: version, NameServers: both, Name: "broker-a"})
			two := java.LaunchBroker(t, java.BrokerOptions{Version: version, NameServers: both, Name: "broker-b"})
			one.MustBoot(t)
			two.MustBoot(t)
			for _, ns := range []string{a.Addr, b.Addr} {
				kit.AwaitServes(t, 2*soon, ns, "TBW102", one.Addr, true)
				kit.AwaitServes(t, 2*soon, ns, "TBW102", two.Addr, true)
			}
			doctor := func(args ...string) looked {
				return look(t, append([]string{"doctor", "--settle=1s", "--json", "-n", both}, args...)...)
			}
			kit.Await(t, 2*soon, "the doctor finds nothing", func() error {
				l := doctor()
				if grave, all := l.found(t); l.status != 0 || len(grave) != 0 || !slices.Equal(all, []string{"plain-admin"}) {
					return fmt.Errorf("status %d: %q %q\n%s", l.status, grave, all, l.out)
				}
				return nil
			})
			if t.Failed() {
				return
			}
			// A write permission that is wiped at one of them, an order configuration of a broker that is not there, and a broker that is killed.
			_, err := kit.Ask(a.Addr, kit.Request{Code: 205, Ext: map[string]string{"brokerName": "broker-a"}})
			kit.Must(t, err)
			_, err = kit.Ask(b.Addr, kit.Request{Code: 100, Ext: map[string]string{"namespace": "ORDER_TOPIC_CONFIG", "key": "orders", "value": "broker-z:4"}})
			kit.Must(t, err)
			two.Kill()
			// Two connections that a process leaves behind end at once, and its registration with them: it is put back as one whose host is gone would stay.
			stray := kit.NewBroker(t, "broker-b", two.Addr, "left-behind")
			stray.Register(t, a.Addr, b.Addr)
			l := doctor()
			grave, all := l.found(t)
			for _, name := range []string{"broker-read-only", "order-conf-stale", "nameservers-disagree", "broker-listed-but-gone", "broker-unreachable"} {
				if !slices.Contains(all, name) {
					t.Errorf("%s was not found: %q", name, grave)
				}
			}
			if l.status != 1 {
				t.Errorf("status %d", l.status)
			}
		})
	}
}
