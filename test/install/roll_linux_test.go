package install

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

const insideRoll = "EPITAPH_INSTALL_ROLL"

// What is at the bridge: brokers, clients, and the cluster's Services.
const (
	bridgeIP       = "10.77.0.1"
	service        = bridgeIP + ":19876"
	addressService = bridgeIP + ":8080"
)

// apart runs the calling test once more, in a network and with mounts of its own.
func apart(t *testing.T, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=40m")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	kit.Must(t, cmd.Run())
}

// TestRollByTheManifest rolls the StatefulSet of deploy/kubernetes without a cluster: this test is kubelet, controller and DNS. Three
// pods, each in a network namespace, are started with the variables of the manifest, probed with its probes and periods, told to
// stop as it says and started again under another address, the last first. Released brokers and clients know what README.md of the
// chart tells them: a headless name, the pods' names, the Service, the address server. No message fails, and whoever asks a pod that
// is ready hears of every broker.
func TestRollByTheManifest(t *testing.T) {
	needs(t, "unshare", "ip", "mount")
	if os.Getenv(insideRoll) == "" {
		fetchPeers(t)
		apart(t, insideRoll+"=1")
		return
	}
	c := newCluster(t)
	for i := range c.pods {
		c.start(i)
	}
	balance(t, service, func() []string { return c.addresses(":9876", true) })
	balance(t, addressService, func() []string { return c.addresses(":8080", false) })
	// By the chart's README: 5.1 and later one headless name, all others the pods' names.
	c.peers.broker("five", release5, bridgeIP, "epitaph-members.mq.svc:9876", map[string]string{"fetchNameSrvAddrByDnsLookup": "true"})
	c.peers.broker("four", release4, bridgeIP, "epitaph-0.epitaph-members.mq.svc:9876;epitaph-1.epitaph-members.mq.svc:9876;epitaph-2.epitaph-members.mq.svc:9876", nil)
	for _, p := range c.pods {
		c.awaitReady(p)
		c.peers.registered(p.ip + ":9876")
	}
	c.peers.sends("by the Service", java.ClientOptions{Endpoint: service, Topic: "known", Group: "known", Every: 50 * time.Millisecond})
	c.peers.sends("by the address server, a new producer and topic each second",
		java.ClientOptions{Endpoint: "domain:" + addressService, Topic: "fresh*", Every: time.Second})
	c.peers.row("three pods", true)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() { c.ask(ctx, i) })
	}
	for i := len(c.pods) - 1; i >= 0; i-- {
		began := time.Now()
		c.stop(c.pods[i])
		stopped := time.Since(began)
		c.start(i)
		c.awaitReady(c.pods[i])
		t.Logf("%s: stopped after %v, ready again after %v", c.pods[i].name, stopped.Round(time.Millisecond), (time.Since(began) - stopped).Round(time.Millisecond))
		c.peers.row(c.pods[i].name, false)
	}
	c.peers.received(c.peers.clients[0])
	stop()
	clients.Wait()
	t.Logf("a roll of three pods: %d questions to pods that were ready, %d failed", c.asked.Load(), c.failed.Load())
	if c.failed.Load() > 0 || c.asked.Load() < 500 {
		t.Errorf("%d of %d questions failed: %v", c.failed.Load(), c.asked.Load(), c.fault.Load())
	}
}

// statefulSet is what a kubelet and a controller read of one.
type statefulSet struct {
	Spec struct {
		Replicas, MinReadySeconds int
		Template                  struct {
			Spec struct {
				TerminationGracePeriodSeconds int
				Containers                    []struct {
					Args []string
					Env  []struct {
						Name, Value string
						ValueFrom   *struct {
							FieldRef struct{ FieldPath string }
						}
					}
					VolumeMounts                                []struct{ Name, MountPath string }
					StartupProbe, ReadinessProbe, LivenessProbe *probe
					Lifecycle                                   *struct{ PreStop probe }
				}
			}
		}
	}
}

type probe struct {
	HTTPGet                                         *struct{ Path string }
	Exec                                            *struct{ Command []string }
	PeriodSeconds, TimeoutSeconds, FailureThreshold int
}

type pod struct {
	name, dir, ip string
	env           []string
	process       *kit.Process
	ready         atomic.Bool
}

type clusterStandIn struct {
	t             *testing.T
	set           statefulSet
	binary, hosts string
	pods          []*pod
	peers         peers
	next          int // address
	mu            sync.Mutex
	asked, failed atomic.Int64
	fault         atomic.Value
}

func newCluster(t *testing.T) *clusterStandIn {
	t.Helper()
	c := &clusterStandIn{t: t, binary: kit.Binary(t), hosts: filepath.Join(t.TempDir(), "hosts"), next: 10, peers: peers{t: t}}
	strict := filepath.Join(t.TempDir(), "strict")
	sh(t, `cd "$1/test/install/strict" && go build -o "$2" . && "$2" StatefulSet <"$1/deploy/kubernetes/epitaph.yaml" >"$2.json"`, kit.Root(t), strict)
	text, err := os.ReadFile(strict + ".json")
	kit.Must(t, err)
	kit.Must(t, json.Unmarshal(text, &c.set))
	kit.Must(t, os.WriteFile(c.hosts, []byte("127.0.0.1 localhost\n"), 0o644))
	sh(t, `mount --make-rprivate /; mount -t tmpfs none /run; mount --bind "$1" /etc/hosts
ip link set lo up; ip link add br0 type bridge; ip addr add "$2/24" dev br0; ip link set br0 up`, c.hosts, bridgeIP)
	for i := range c.set.Spec.Replicas {
		p := &pod{name: fmt.Sprint("epitaph-", i), dir: t.TempDir()}
		for _, dir := range []string{"data", "run", "key"} {
			kit.Must(t, os.Mkdir(filepath.Join(p.dir, dir), 0o755))
		}
		kit.Must(t, os.WriteFile(filepath.Join(p.dir, "key", "gossip.key"), []byte("AAECAwQFBgcICQoLDA0ODw==\n"), 0o600))
		sh(t, `ip netns add "$1"; ip link add "v$2" type veth peer name eth0 netns "$1"; ip link set "v$2" master br0 up
ip -n "$1" link set lo up; ip -n "$1" link set eth0 up`, p.name, fmt.Sprint(i))
		c.pods = append(c.pods, p)
	}
	return c
}

// start gives a pod a new address and name in DNS, and starts its container.
func (c *clusterStandIn) start(i int) {
	c.t.Helper()
	p, container := c.pods[i], c.set.Spec.Template.Spec.Containers[0]
	c.mu.Lock()
	p.ip = fmt.Sprint("10.77.0.", c.next)
	c.next++
	lines := "127.0.0.1 localhost\n"
	for _, one := range c.pods {
		if one.ip != "" {
			lines += fmt.Sprintf("%s %s.epitaph-members.mq.svc epitaph-members.mq.svc\n", one.ip, one.name)
		}
	}
	c.mu.Unlock()
	kit.Must(c.t, os.WriteFile(c.hosts, []byte(lines), 0o644))
	sh(c.t, `ip -n "$1" addr flush dev eth0; ip -n "$1" addr add "$2/24" dev eth0`, p.name, p.ip)
	fields := map[string]string{"status.podIP": p.ip, "metadata.name": p.name, "metadata.namespace": "mq"}
	known := map[string]string{}
	p.env = []string{"PATH=" + os.Getenv("PATH")}
	for _, e := range container.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = fields[e.ValueFrom.FieldRef.FieldPath]
		}
		for name, v := range known {
			value = strings.ReplaceAll(value, "$("+name+")", v)
		}
		if strings.Contains(value, "$(") {
			c.t.Fatalf("%s=%s refers to a variable behind it", e.Name, value)
		}
		known[e.Name] = value
		for _, m := range container.VolumeMounts {
			if value == m.MountPath || strings.HasPrefix(value, m.MountPath+"/") {
				value = filepath.Join(p.dir, map[string]string{"data": "data", "run": "run", "gossip-key": "key"}[m.Name]) + value[len(m.MountPath):]
			}
		}
		p.env = append(p.env, e.Name+"="+value)
	}
	cmd := exec.Command("ip", append([]string{"netns", "exec", p.name, c.binary}, container.Args...)...)
	cmd.Env = p.env
	p.process = kit.Start(c.t, cmd)
}

// probes asks once, as a kubelet does.
func (c *clusterStandIn) probes(p *pod, what *probe) error {
	timeout := time.Duration(what.TimeoutSeconds) * time.Second
	ctx, cancel := context.WithTimeout(c.t.Context(), timeout)
	defer cancel()
	if what.Exec != nil {
		cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", p.name, c.binary}, what.Exec.Command[1:]...)...)
		cmd.Env = p.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%v: %w: %s", what.Exec.Command, err, out)
		}
		return nil
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ip+":9886"+what.HTTPGet.Path, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}

// awaitReady probes the start, then liveness and readiness, and waits for minReadySeconds.
func (c *clusterStandIn) awaitReady(p *pod) {
	c.t.Helper()
	container := c.set.Spec.Template.Spec.Containers[0]
	start := container.StartupProbe
	for failures := 1; ; failures++ {
		err := c.probes(p, start)
		if err == nil {
			break
		}
		if failures == start.FailureThreshold {
			c.t.Fatalf("%s would be restarted: %v\n%s", p.name, err, p.process.Output())
		}
		<-time.After(time.Duration(start.PeriodSeconds) * time.Second)
	}
	kit.Must(c.t, c.probes(p, container.LivenessProbe))
	kit.Must(c.t, c.probes(p, container.ReadinessProbe))
	p.ready.Store(true)
	<-time.After(time.Duration(c.set.Spec.MinReadySeconds) * time.Second)
	kit.Must(c.t, c.probes(p, container.ReadinessProbe))
}

// stop takes a pod out of the endpoints, runs its hook, and ends it within its grace period.
func (c *clusterStandIn) stop(p *pod) {
	c.t.Helper()
	p.ready.Store(false)
	grace := time.Duration(c.set.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	began := time.Now()
	if life := c.set.Spec.Template.Spec.Containers[0].Lifecycle; life != nil {
		hook := life.PreStop
		hook.TimeoutSeconds = int(grace.Seconds())
		if err := c.probes(p, &hook); err != nil { // a kubelet goes on
			c.t.Logf("%s: preStop: %v", p.name, err)
		}
	}
	p.process.Term()
	if status, err := p.process.Wait(grace - time.Since(began)); err != nil || status != 0 {
		c.t.Errorf("%s would be killed: %v, status %d", p.name, err, status)
	}
}

// addresses are those of the pods, or of the ones that are ready, with a port.
func (c *clusterStandIn) addresses(port string, ready bool) (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pods {
		if p.ready.Load() || !ready {
			all = append(all, p.ip+port)
		}
	}
	return all
}

// ask is a client: it asks a pod that is ready, and the next one when the connection fails.
func (c *clusterStandIn) ask(ctx context.Context, seed int) {
	for n := seed; ctx.Err() == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
		c.asked.Add(1)
		var why bytes.Buffer
		served := false
		for j := range c.pods {
			p := c.pods[(n+j)%len(c.pods)]
			if !p.ready.Load() {
				continue
			}
			c.mu.Lock()
			ip := p.ip
			c.mu.Unlock()
			broker := c.peers.brokers[n%len(c.peers.brokers)]
			found, err := kit.Serves(ip+":9876", broker.Name, broker.Addr)
			if err == nil {
				served = found
				fmt.Fprintf(&why, "%s: served %v; ", p.name, found)
				break
			}
			fmt.Fprintf(&why, "%s: %v; ", p.name, err)
		}
		if !served && ctx.Err() == nil {
			c.failed.Add(1)
			c.fault.Store(why.String())
		}
	}
}
