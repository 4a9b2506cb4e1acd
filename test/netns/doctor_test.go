//go:build linux

package netns

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// clinic is a Java NameServer and one of ours, two broker groups of two releases, and the host from which they are examined.
type clinic struct {
	w          *world
	ops        *host
	java, ours *server
	a, b       *broker // masters, 5.5.0 and 4.9.7
	socket     string  // of ours
	disk       string  // of b's commit log alone
}

// doctor examines them from ops, and returns every finding as "DEGREE NAME: ABOUT: SEEN", and what is missing. By a hosts file it runs with names of
// its own.
func (c *clinic) doctor(t testing.TB, args ...string) (found []string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), kit.Binary(t), append([]string{"doctor", "--settle=1s", "--json"}, args...)...)
	if _, err := os.Stat(filepath.Join("/etc/netns", c.ops.ns)); err == nil {
		cmd = exec.CommandContext(t.Context(), "ip", append([]string{"netns", "exec", c.ops.ns}, cmd.Args...)...)
	}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	c.ops.within(func() { err = cmd.Start() })
	if err != nil {
		return nil, err
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() == 2 {
		t.Fatalf("doctor %q: %v: %s", args, err, errs.String())
	}
	var a struct {
		Findings []struct{ Degree, Name, About, Seen string }
		Missing  []string
	}
	if err := json.Unmarshal([]byte(out.String()), &a); err != nil {
		return nil, fmt.Errorf("%w: %s%s", err, out.String(), errs.String())
	}
	for _, f := range a.Findings {
		found = append(found, f.Degree+" "+f.Name+": "+f.About+": "+f.Seen)
	}
	for _, text := range a.Missing {
		found = append(found, "missing: "+text)
	}
	return found, nil
}

func (c *clinic) all() []string { return []string{"-n", c.java.addr + "," + c.ours.addr} }

// finds waits until the doctor finds each of those: "DEGREE NAME: PART".
func (c *clinic) finds(t *testing.T, args []string, want ...string) {
	t.Helper()
	var last []string
	kit.Await(t, 2*kit.Patience, fmt.Sprintf("%q", want), func() error {
		found, err := c.doctor(t, args...)
		if err != nil {
			return err
		}
		last = found
		for _, w := range want {
			head, part, _ := strings.Cut(w, ": ")
			if !has(found, head+": ", part) {
				return fmt.Errorf("no %q in\n  %s", w, strings.Join(found, "\n  "))
			}
		}
		return nil
	})
	t.Logf("found\n  %s", strings.Join(last, "\n  "))
}

func has(found []string, head, part string) bool {
	for _, f := range found {
		if strings.HasPrefix(f, head) && strings.Contains(f, part) {
			return true
		}
	}
	return false
}

// tell sends a request from ops, which must succeed.
func (c *clinic) tell(t *testing.T, addr string, r kit.Request) {
	t.Helper()
	conn, err := c.ops.dial(addr, kit.Patience)
	kit.Must(t, err)
	client := kit.Over(t, conn)
	defer client.Close()
	answer, err := client.TryCall(r, kit.Patience)
	kit.Must(t, answer.Failed(err))
}

func (c *clinic) topic(t *testing.T, b *broker, name string, queues, perm int) {
	t.Helper()
	n := strconv.Itoa(queues)
	c.tell(t, b.at(), kit.Request{Code: 17, Ext: map[string]string{"topic": name, "defaultTopic": "TBW102", "readQueueNums": n, "writeQueueNums": n,
		"perm": strconv.Itoa(perm), "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false"}})
}

func (b *broker) at() string { return b.host.IP + ":" + strconv.Itoa(brokerPort) }

// Every fault here is a real one of real brokers and NameServers, one after another; nothing imitates an answer.
func TestDoctorFindsRealFaults(t *testing.T) {
	if !long() {
		t.Skip("SKIPPED: some minutes of Java brokers with one fault after another; make night-netns has it")
	}
	need(t, 3*weightBroker+weightSmall)
	w := newWorld(t)
	c := &clinic{w: w, ops: w.host("ops")}
	c.java = startJava(t, w.host("java"), "J")
	n := w.silent("ours")
	c.ours, c.socket = n.server, filepath.Join(n.dir, "epitaph-"+servePort+".sock")
	c.disk = t.TempDir()
	kit.Must(t, syscall.Mount("tmpfs", c.disk, "tmpfs", 0, "size=160m"))
	t.Cleanup(func() { kit.Must(t, syscall.Unmount(c.disk, syscall.MNT_DETACH)) })
	c.a = launch(t, w.host("a"), release5, "group-a", c.java, c.ours)
	c.b = launchWith(t, w.host("b"), release4, "group-b", map[string]string{"storePathCommitLog": filepath.Join(c.disk, "commitlog")}, c.java, c.ours)
	c.a.MustBoot(t)
	c.b.MustBoot(t)
	kit.Await(t, 2*kit.Patience, "nothing is found", func() error {
		found, err := c.doctor(t, c.all()...)
		if err == nil && (len(found) != 2 || !has(found, "note broker-versions-mixed: ", "4.9.7 and 5.5.0") || !has(found, "note plain-admin: ", "")) {
			err = errors.New(strings.Join(found, "\n  "))
		}
		return err
	})
	for _, one := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"silent", c.silent}, {"slow", c.slow}, {"unreachable", c.unreachable}, {"hanging", c.hanging}, {"registrations", c.registrations},
		{"topics", c.topics}, {"options", c.options}, {"disk", c.diskFull}, {"tls", c.tls}, {"replica", c.replica}, {"gone", c.gone}, {"large", c.large},
	} {
		if !t.Run(one.name, one.test) {
			return
		}
	}
}

func (c *clinic) silent(t *testing.T) {
	rule := c.java.host.drop(c.ops)
	defer rule.heal()
	c.finds(t, c.all(), "error nameserver-silent: "+c.java.addr+": cannot be reached")
}

// slow lets the node run for a tenth of a second in each half, as one does whose collector stops the world.
func (c *clinic) slow(t *testing.T) {
	over := make(chan struct{})
	var paused sync.WaitGroup
	paused.Go(func() {
		defer func() { _ = c.ours.Signal(syscall.SIGCONT) }()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			if n%5 == 0 {
				_ = c.ours.Signal(syscall.SIGCONT)
			} else {
				_ = c.ours.Signal(syscall.SIGSTOP)
			}
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	})
	defer paused.Wait()
	defer close(over)
	c.finds(t, append(c.all(), "--rate=20", "--timeout=20s"), "warning nameserver-slow: "+c.ours.addr)
}

func (c *clinic) unreachable(t *testing.T) {
	port := []string{"-p", "tcp", "--dport", strconv.Itoa(brokerPort)}
	one := c.b.host.drop(c.ops, port...)
	c.finds(t, c.all(), "error broker-unreachable: group-b (id 0)")
	node := append(c.all(), "--from-node", "--socket", c.socket)
	c.finds(t, node, "error broker-unreachable: ; node "+c.socket+" reaches it")
	other := c.a.host.drop(c.ops, port...)
	c.finds(t, c.all(), "note broker-unreachable: group-a", "note broker-unreachable: group-b")
	c.finds(t, node, "note broker-unreachable: ; node "+c.socket+" reaches it")
	away := c.b.host.drop(c.ours.host, port...)
	c.finds(t, node, "error broker-unreachable: does not reach it: ")
	heal([]rule{one, other, away})
}

func (c *clinic) hanging(t *testing.T) {
	kit.Must(t, c.b.Signal(syscall.SIGSTOP))
	defer func() { kit.Must(t, c.b.Signal(syscall.SIGCONT)) }()
	c.finds(t, c.all(), "warning broker-slow: group-b (id 0)")
}

// registrations are what wrong configurations of brokers make of the tables of NameServers: they register, and do nothing else.
func (c *clinic) registrations(t *testing.T) {
	h := c.w.host("wrong")
	both := []*server{c.java, c.ours}
	registers := func(b *simBroker, at ...*server) {
		t.Helper()
		kit.Must(t, b.registerAll(at))
		t.Cleanup(b.Close)
	}
	local := newSimBroker(h, "local", 1)
	local.Addr = "127.0.0.1:" + strconv.Itoa(brokerPort)
	registers(local, both...)
	docker := newSimBroker(h, "docker", 1)
	docker.Addr = "172.17.0.2:" + strconv.Itoa(brokerPort)
	registers(docker, both...)
	pool := newSimBroker(h, "pool", 1)
	pool.Addr = "172.31.0.2:" + strconv.Itoa(brokerPort)
	registers(pool, both...)
	twin, copied := newSimBroker(h, "twin", 2001), newSimBroker(h, "twin", 2002)
	copied.Cluster, copied.ID = "OtherCluster", 1
	registers(twin, both...)
	registers(copied, both...)
	renamed, former := newSimBroker(h, "renamed", 2003), newSimBroker(h, "former", 2003)
	registers(renamed, both...)
	registers(former, both...)
	first, second := newSimBroker(h, "split", 2004), newSimBroker(h, "split", 2005)
	registers(first, c.java)
	registers(second, c.ours)
	partly := newSimBroker(h, "partly", 2006)
	registers(partly, c.ours)
	partly.Topics = append(partly.Topics, "only-at-one")
	registers(partly, c.java)
	c.finds(t, c.all(), "error broker-address-local: local (id 0)", "error broker-address-local: docker (id 0)", "note broker-address-local: pool (id 0)",
		"error name-in-two-clusters: twin", "error address-under-two-names: former and renamed", "error two-masters: split", "error nameservers-disagree: split",
		"warning topic-on-one-nameserver: "+c.java.addr+": only there: only-at-one")
	if found, err := c.doctor(t, c.all()...); err != nil || has(found, "error broker-listed-but-gone: ", "local (id 0)") || has(found, "error broker-unreachable: ", "local (id 0)") {
		t.Errorf("this machine answered for another's loopback: %v, %q", err, found)
	}
}

func (c *clinic) topics(t *testing.T) {
	c.topic(t, c.b, "closed", 4, 4)
	c.topic(t, c.a, "uneven", 8, 6)
	c.topic(t, c.b, "uneven", 4, 6)
	for _, s := range []*server{c.java, c.ours} {
		c.tell(t, s.addr, kit.Request{Code: 100, Ext: map[string]string{"namespace": "ORDER_TOPIC_CONFIG", "key": "uneven", "value": "group-a:8;group-z:4"}})
	}
	c.tell(t, c.java.addr, kit.Request{Code: 205, Ext: map[string]string{"brokerName": "group-b"}})
	c.finds(t, c.all(), "warning topic-no-writable-queue: closed", "note queue-numbers-differ: uneven", "warning order-conf-stale: group-z",
		"warning broker-read-only: wipeWritePerm) at "+c.java.addr)
	c.tell(t, c.java.addr, kit.Request{Code: 327, Ext: map[string]string{"brokerName": "group-b"}})
}

func (c *clinic) options(t *testing.T) {
	c.tell(t, c.java.addr, kit.Request{Code: 318, Body: []byte("scanNotActiveBrokerInterval=100\norderMessageEnable=true\n")})
	c.finds(t, c.all(), "warning option-dangerous: scanNotActiveBrokerInterval=100", "warning nameservers-disagree: orderMessageEnable")
	c.tell(t, c.java.addr, kit.Request{Code: 318, Body: []byte("scanNotActiveBrokerInterval=5000\norderMessageEnable=false\n")})
}

func (c *clinic) diskFull(t *testing.T) {
	fill := filepath.Join(c.disk, "fill")
	var s syscall.Statfs_t
	to := func(part float64) {
		kit.Must(t, syscall.Statfs(c.disk, &s))
		used := float64(s.Blocks-s.Bfree) * float64(s.Bsize)
		more := part*float64(s.Blocks)*float64(s.Bsize) - used
		f, err := os.OpenFile(fill, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		kit.Must(t, err)
		_, err = f.Write(make([]byte, max(0, int(more))))
		kit.Must(t, errors.Join(err, f.Close()))
	}
	defer func() { kit.Must(t, os.Remove(fill)) }()
	to(0.80)
	c.finds(t, c.all(), "warning disk-nearly-full: group-b (id 0)")
	to(0.87)
	c.finds(t, c.all(), "error disk-nearly-full: group-b (id 0)")
}

// tls is a NameServer that takes TLS alone, with a certificate of a day, at which no broker registers, behind a name.
func (c *clinic) tls(t *testing.T) {
	id := kit.NewAuthority(t).Issue(t, "ns.example")
	dir := t.TempDir()
	config := filepath.Join(dir, "tls.conf")
	kit.Must(t, java.WriteProperties(filepath.Join(dir, "tls.properties"), map[string]string{
		"tls.test.mode.enable": "false", "tls.server.certPath": kit.WriteFile(t, filepath.Join(dir, "cert.pem"), id.PEM), "tls.server.keyPath": kit.WriteFile(t, filepath.Join(dir, "key.pem"), id.KeyPEM),
	}))
	kit.Must(t, java.WriteProperties(config, map[string]string{}))
	h := c.w.host("secure")
	addr := h.IP + ":" + servePort
	cmd := exec.Command(kit.Binary(t), "serve", "--listen", addr, "--data", dir, "--config", config, "--set", "tls.server.mode=enforcing", "--set", "tls.config.file="+filepath.Join(dir, "tls.properties"))
	h.within(func() { kit.Start(t, cmd) })
	hosts := filepath.Join("/etc/netns", c.ops.ns)
	kit.Must(t, os.MkdirAll(hosts, 0o755))
	defer func() { kit.Must(t, os.RemoveAll(hosts)) }()
	kit.Must(t, os.WriteFile(filepath.Join(hosts, "hosts"), []byte("127.0.0.1 localhost\n"+h.IP+" ns.example\n"), 0o644))
	c.finds(t, []string{"-n", c.java.addr + "," + c.ours.addr + ",ns.example:" + servePort}, "warning tls-modes-differ: TLS alone at "+addr,
		"warning certificate-near-end: ns.example", "warning name-resolves-elsewhere: it leads to "+addr, "error nameservers-disagree: not at "+addr)
}

// aheadBy is a library that sets the clock of whoever loads it ahead by a minute.
const aheadBy = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <sys/time.h>
int clock_gettime(clockid_t id, struct timespec *t) {
	static int (*real)(clockid_t, struct timespec *);
	if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(id, t);
	if (id == CLOCK_REALTIME) t->tv_sec += 60;
	return r;
}
int gettimeofday(struct timeval *t, void *zone) {
	struct timespec now;
	int r = clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return r;
}
`

// replica is one of another release, with a clock of its own, that is told of one NameServer and cannot copy its master's log.
func (c *clinic) replica(t *testing.T) {
	h := c.w.host("replica")
	library := filepath.Join(t.TempDir(), "ahead.so")
	cc := exec.Command("cc", "-shared", "-fPIC", "-x", "c", "-o", library, "-", "-ldl")
	cc.Stdin = strings.NewReader(aheadBy)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	cut := c.a.host.drop(h, "-p", "tcp", "--dport", strconv.Itoa(brokerPort+1))
	defer cut.heal()
	java.Jars(t, "rocketmq-broker", release4)
	var b *java.Broker
	h.within(func() {
		b = java.LaunchBroker(t, java.BrokerOptions{Version: release4, NameServers: c.java.addr, Name: "group-a", ID: 1, Port: brokerPort,
			Properties: map[string]string{"brokerIP1": h.IP, "brokerIP2": h.IP}, Env: []string{"LD_PRELOAD=" + library}})
	})
	b.MustBoot(t)
	body := make([]byte, 3<<20)
	for range 24 {
		c.tell(t, c.a.at(), kit.Request{Code: 10, Body: body, Ext: map[string]string{"producerGroup": "p", "topic": "large", "defaultTopic": "TBW102",
			"defaultTopicQueueNums": "4", "queueId": "0", "sysFlag": "0", "bornTimestamp": "1700000000000", "flag": "0", "properties": "", "reconsumeTimes": "0", "unitMode": "false"}})
	}
	c.finds(t, c.all(), "warning replica-behind: group-a (id 1)", "warning clock-apart: group-a (id 1)", "warning broker-versions-mixed: group-a",
		"warning address-list-partial: "+c.java.addr, "error broker-partly-registered: does not name "+c.ours.addr)
	// Its master leaves.
	c.a.Term()
	_, err := c.a.Wait(kit.Patience)
	kit.Must(t, err)
	c.finds(t, c.all(), "error no-master: group-a")
	b.Kill()
}

// gone is a broker that dies while nobody can hear it.
func (c *clinic) gone(t *testing.T) {
	rules := append(cut(c.b.host, c.java.host), cut(c.b.host, c.ours.host)...)
	defer heal(rules)
	c.b.Kill()
	c.finds(t, c.all(), "error broker-listed-but-gone: group-b (id 0)")
}

// large is a NameServer whose list of topics comes near to what clients take.
func (c *clinic) large(t *testing.T) {
	h := c.w.host("large")
	for i := range 4 {
		b := newSimBroker(h, fmt.Sprint("large-", i), 3000+i)
		for k := range 30_000 {
			b.Topics = append(b.Topics, fmt.Sprintf("%s-%03d-%06d", strings.Repeat("a-long-name-", 6), i, k))
		}
		kit.Must(t, b.register(c.ours))
		t.Cleanup(b.Close)
	}
	c.finds(t, []string{"-n", c.ours.addr, "--only=route-near-frame-limit", "--rate=100000"}, "warning route-near-frame-limit: the list of topics has ")
}
