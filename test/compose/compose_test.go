package compose

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/test/kit"
)

var services = []string{"ns1", "ns2", "ns3"}

// ports of the three nodes, as published.
func nameServers(host string) []string {
	return []string{host + ":9876", host + ":9877", host + ":9878"}
}

func httpOf(i int) string { return fmt.Sprintf("http://127.0.0.1:%d", 9886+i) }

var get = kit.Get

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	kit.Must(t, kit.GetJSON(url, into))
}

func awaitReady(t *testing.T) {
	t.Helper()
	for i, s := range services {
		kit.Await(t, patience, s+" is ready", func() error { return kit.Ready(strings.TrimPrefix(httpOf(i), "http://")) })
	}
}

// awaitMembers waits until every node sees three living ones.
func awaitMembers(t *testing.T) {
	t.Helper()
	for i, s := range services {
		kit.Await(t, patience, s+" sees three members", func() error {
			_, metrics := get(httpOf(i) + "/metrics")
			return isNow(metric(metrics, "epitaph_gossip_members"), "3")
		})
	}
}

// metric is a series as it stands in a text of metrics.
func metric(metrics, series string) string {
	value, err := kit.Series(metrics, series)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(value)
}

// isNow is nil when got is what is waited for.
func isNow(got, want string) error {
	if got != want {
		return fmt.Errorf("it is %q", got)
	}
	return nil
}

// The whole story in order, on one engine: each step leaves three nodes running.
func TestCompose(t *testing.T) {
	if os.Getenv(inside) == "" {
		delegate(t)
		return
	}
	e := startEngine(t)
	builderStandIn(t, e)
	step := func(name string, f func(*testing.T)) {
		if !t.Run(name, f) {
			t.FailNow()
		}
	}
	step("Build", e.testBuild)
	step("Up", e.testUp)
	step("Confined", e.testConfined)
	step("Doctor", e.testDoctor)
	step("StoryByProxy", func(t *testing.T) { e.testStory(t, "127.0.0.1") })
	step("StoryByPacketFilter", func(t *testing.T) { e.testStory(t, lanAddr) })
	step("Crash", e.testCrash)
	step("StopAndDown", e.testDown)
	step("Boxes", e.testBoxes)
	step("InThePlaceOfRocketMQs", e.testRocketmqImage)
	if os.Getenv(wanted) != "long" {
		return
	}
	step("Memory", e.testMemory)
	step("Observe", e.testObserve)
	step("Brokers", e.testBrokers)
	step("PortTaken", e.testPortTaken)
}

// builderStandIn makes golang:1.26 and debian:bookworm-slim: see doc.go.
func builderStandIn(t *testing.T, e *engine) {
	r := newRootfs(t)
	r.programs("sh", "mkdir", "chown", "cp")
	r.copy(kit.Binary(t), "prebuilt/epitaph")
	r.write("bin/go", `#!/bin/sh
case "$1" in
mod) ;;
build)
	[ "$CGO_ENABLED" = 0 ] && [ "$GOOS" = linux ] || { echo "stand-in: not static, or not for Linux" >&2; exit 1; }
	while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
	cp /prebuilt/epitaph "$out" ;;
run)
	while [ $# -gt 1 ]; do [ "$1" = -output ] && out=$2; shift; done
	echo '{"bomFormat": "CycloneDX"}' >"$out" ;;
*) echo "stand-in: go $1?" >&2; exit 1 ;;
esac
`, 0o755)
	r.image(e, "golang:1.26", "ENV PATH=/bin")
	r = newRootfs(t)
	r.programs("sh", "mkdir", "chown", "chmod", "cp", "ln", "sed", "cat", "dirname", "busybox")
	r.write("bin/apt-get", "#!/bin/sh\n", 0o755)
	r.image(e, "debian:bookworm-slim", "ENV PATH=/bin")
}

func (e *engine) testBuild(t *testing.T) {
	e.compose(t, "build")
	size, err := strconv.Atoi(strings.TrimSpace(e.run(t, "docker", "image", "inspect", "--format", "{{.Size}}", "epitaph")))
	if err != nil || size > 20<<20 {
		t.Errorf("the image has %d bytes, want less than 20 MB, %v", size, err)
	}
	t.Logf("image: %.1f MB", float64(size)/(1<<20))
	from := strings.TrimSpace(e.run(t, "docker", "create", "epitaph"))
	dir := t.TempDir()
	e.run(t, "docker", "cp", from+":/licenses", dir)
	e.run(t, "docker", "cp", from+":/sbom/epitaph.cdx.json", dir)
	e.run(t, "docker", "rm", from)
	for _, name := range []string{"LICENSE", "NOTICE", "THIRD_PARTY_LICENSES"} {
		e.run(t, "cmp", name, filepath.Join(dir, "licenses", name))
	}
}

func (e *engine) testUp(t *testing.T) {
	started := time.Now()
	e.compose(t, "up", "-d")
	awaitReady(t)
	t.Logf("three ready nodes %.1f s after docker-compose up (goal: 5 s)", time.Since(started).Seconds())
	awaitMembers(t)
	for _, s := range services {
		kit.Await(t, patience, s+" is healthy", func() error { return isNow(e.inspect(t, s, "{{.State.Health.Status}}"), "healthy") })
	}
	t.Logf("healthy by docker's own checks %.1f s after it\n%s", time.Since(started).Seconds(), e.compose(t, "ps"))
	e.key(t)
}

// key checks that one key file was made and nothing else is left of the race for it; it returns the file's hash.
func (e *engine) key(t *testing.T) string {
	t.Helper()
	dir := strings.TrimSpace(e.run(t, "docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "epitaph_key"))
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "gossip.key" {
		t.Fatalf("volume of the key: %v, %v", files, err)
	}
	info, err := files[0].Info()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "gossip.key"))
	kit.Must(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// testConfined looks from inside: what a node must not be able to do, it is not.
func (e *engine) testConfined(t *testing.T) {
	for _, s := range services {
		if got := e.inspect(t, s, "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Memory}} {{.Config.User}} {{.HostConfig.RestartPolicy.Name}}"); got !=
			"true 67108864 65532:65532 unless-stopped" {
			t.Errorf("%s: %s", s, got)
		}
		pid := e.inspect(t, s, "{{.State.Pid}}")
		status, err := os.ReadFile("/proc/" + pid + "/status")
		kit.Must(t, err)
		for _, want := range []string{"\nUid:\t65532\t65532", "\nGid:\t65532\t65532", "\nCapEff:\t0000000000000000", "\nNoNewPrivs:\t1"} {
			if !strings.Contains(string(status), want) {
				t.Errorf("%s: no %q in its status:\n%s", s, want, status)
			}
		}
		if out, err := e.exec(t, s, "/epitaph", "keygen", "/other.key"); err == nil || !strings.Contains(err.Error()+out, "read-only") {
			t.Errorf("%s writes to its root: %s %v", s, out, err)
		}
		if _, err := e.exec(t, s, "sh", "-c", "true"); err == nil {
			t.Errorf("%s has a shell", s)
		}
		out, errs := &strings.Builder{}, &strings.Builder{}
		logs := exec.Command("docker", "logs", e.container(t, s))
		logs.Env, logs.Stdout, logs.Stderr = e.env, out, errs
		if err := logs.Run(); err != nil || !strings.Contains(out.String(), "level=INFO") || errs.Len() > 0 {
			t.Errorf("%s: the log is not on stdout: %q, stderr %q, %v", s, out, errs, err)
		}
	}
	// Members are forgotten from inside a container, and from nowhere else.
	if out, err := e.exec(t, "ns1", "/epitaph", "force-leave", "nobody"); err == nil || !strings.Contains(out+err.Error(), "no failed member has the name") {
		t.Errorf("force-leave inside: %s %v", out, err)
	}
	if resp, err := http.Post(httpOf(0)+"/v1/force-leave?name=nobody", "", nil); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("force-leave from outside: %+v %v", resp, err)
	} else {
		_ = resp.Body.Close() // only its status matters
	}
	// What the README and docs/operations.md tell to type.
	if out := e.compose(t, "exec", "-T", "ns2", "/epitaph", "members"); !strings.Contains(out, "ns3") {
		t.Errorf("members: %s", out)
	}
	if out := e.compose(t, "exec", "-T", "ns2", "/epitaph", "health"); !strings.HasPrefix(out, "ready") {
		t.Errorf("health: %s", out)
	}
	if status, _ := get("http://" + lanAddr + ":9886/readyz"); status != 0 {
		t.Error("HTTP is published beyond loopback")
	}
}

// testDoctor looks from a container of its own, which has no node, as docs/doctor.md says: all is well, and then it is not.
func (e *engine) testDoctor(t *testing.T) {
	ask := func(command string, words ...string) (status int, out string) {
		t.Helper()
		args := append([]string{"run", "--rm", "--network", "epitaph_default", "epitaph", command, "-n", "ns1:9876,ns2:9876,ns3:9876"}, words...)
		cmd := exec.Command("docker", args...)
		cmd.Env = e.env
		text, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatalf("docker %q: %v", args, err)
		}
		return cmd.ProcessState.ExitCode(), string(text)
	}
	for command, words := range map[string]string{"doctor": "3 of 3 NameServers examined", "diff": "they agree", "status": "3 NameServers, 3 ready"} {
		if status, out := ask(command); status != 0 || !strings.Contains(out, words) {
			t.Errorf("%s ends with %d:\n%s", command, status, out)
		}
	}
	b := kit.NewBroker(t, "broker-doctor", "192.0.2.9:10911")
	b.Register(t, nameServers("127.0.0.1")[0])
	if status, out := ask("doctor", "--settle=1s", "--timeout=1s"); status != 1 || !kit.ContainsAll(out, "ERROR broker-partly-registered", "broker-doctor") {
		t.Errorf("doctor ends with %d:\n%s", status, out)
	}
	b.Unregister(t, nameServers("127.0.0.1")[0])
}

// testStory: a broker on the host registers at the three published ports and unregisters at two of them. The third must
// let it go although its connection there stays open: only the tombstone can tell it. By loopback the engine's proxy is
// in between, by another address of the host its packet filter: either way all three nodes see one source.
func (e *engine) testStory(t *testing.T, host string) {
	topic := "story-" + strings.ReplaceAll(host, ".", "-")
	b := kit.NewBroker(t, "broker-"+topic, "192.0.2.7:10911", topic)
	ns := nameServers(host)
	b.Register(t, ns...)
	for _, server := range ns {
		kit.AwaitServes(t, patience, server, topic, b.Addr, true)
	}
	b.Unregister(t, ns[0])
	left := time.Now()
	b.Unregister(t, ns[1])
	kit.AwaitServes(t, patience, ns[2], topic, b.Addr, false)
	t.Logf("gone at the third node %v after it was told to the first", time.Since(left).Round(time.Millisecond))
	var told api.Tombstones
	getJSON(t, httpOf(2)+"/v1/tombstones", &told)
	if !slices.ContainsFunc(told.Decisions, func(d api.Decision) bool { return d.Broker == b.Name && d.Outcome == "evicted" }) {
		t.Errorf("ns3 does not say that it evicted %s: %+v", b.Name, told.Decisions)
	}
	// A registration always wins: the broker comes back on the same connections and stays.
	b.Register(t, ns[2])
	kit.AwaitServes(t, patience, ns[2], topic, b.Addr, true)
}

// testCrash kills one node's process as the kernel would. The engine starts it again, and it is a member again.
func (e *engine) testCrash(t *testing.T) {
	pid, err := strconv.Atoi(e.inspect(t, "ns2", "{{.State.Pid}}"))
	kit.Must(t, err)
	before := bootOf(t, "ns2")
	killed := time.Now()
	kit.Must(t, syscall.Kill(pid, syscall.SIGKILL))
	kit.Await(t, patience, "ns2 is running again", func() error {
		return isNow(e.inspect(t, "ns2", "{{.RestartCount}} {{.State.Running}} {{.State.Health.Status}}"), "1 true healthy")
	})
	awaitReady(t)
	t.Logf("ready and healthy %.1f s after kill -9", time.Since(killed).Seconds())
	kit.Await(t, patience, "ns1 sees the new life of ns2", func() error {
		if after := bootOf(t, "ns2"); after == "" || after == before {
			return fmt.Errorf("it is %q", after)
		}
		return nil
	})
	awaitMembers(t)
}

// bootOf is the boot number under which ns1 knows a living node.
func bootOf(t *testing.T, name string) string {
	t.Helper()
	var m api.Members
	getJSON(t, httpOf(0)+"/v1/members", &m)
	for _, one := range m.Members {
		if one.Name == name && one.State == "alive" {
			return one.Boot
		}
	}
	return ""
}

// testDown: stop ends each node in order and at once; down and up keep the KV store and the key.
func (e *engine) testDown(t *testing.T) {
	kv := map[string]string{"namespace": "compose", "key": "kept", "value": "over a down"}
	if a, err := kit.Ask(nameServers("127.0.0.1")[0], kit.Request{Code: 100, Ext: kv}); a.Failed(err) != nil {
		t.Fatalf("put: %v", a.Failed(err))
	}
	key := e.key(t)
	stopped := time.Now()
	e.compose(t, "stop")
	t.Logf("docker-compose stop took %.1f s", time.Since(stopped).Seconds())
	for _, s := range services {
		if got := e.inspect(t, s, "{{.State.ExitCode}} {{.State.OOMKilled}}"); got != "0 false" {
			t.Errorf("%s did not stop in order: exit code and OOM: %s", s, got)
		}
		if logs := e.run(t, "sh", "-c", "docker logs --tail 8 $0 2>&1", e.container(t, s)); !strings.Contains(logs, "stopping") {
			t.Errorf("%s says nothing of its stop: %s", s, logs)
		}
	}
	e.compose(t, "down")
	e.compose(t, "up", "-d")
	awaitReady(t)
	awaitMembers(t)
	if again := e.key(t); again != key {
		t.Error("down and up changed the key")
	}
	a, err := kit.Ask(nameServers("127.0.0.1")[0], kit.Request{Code: 101, Ext: map[string]string{"namespace": "compose", "key": "kept"}})
	if a.Failed(err) != nil || a.ExtFields["value"] != kv["value"] {
		t.Errorf("the KV store lost an entry: %+v, %v", a, err)
	}
}

// testMemory: 20,000 topics of ten brokers, every route read, take less than half of what one node may have, as the engine
// counts it against the limit: pages of the program's file, which the kernel can take back, are in what is resident only.
func (e *engine) testMemory(t *testing.T) {
	const topics, brokers = 20_000, 10
	ns := nameServers("127.0.0.1")[0]
	names := make([]string, topics)
	for i := range names {
		names[i] = fmt.Sprintf("memory-topic-%05d", i)
	}
	for i := range brokers {
		b := kit.NewBroker(t, fmt.Sprintf("memory-broker-%d", i), fmt.Sprintf("192.0.2.%d:10911", 100+i), names...)
		b.Register(t, ns)
		b.Keep(t, b.Heartbeat, ns) // or a slow machine would see it expire before the last route is read
	}
	told, toldShare := e.memory(t), e.share(t)
	c := kit.Dial(t, ns)
	for batch := range slices.Chunk(names, 500) {
		for _, topic := range batch {
			c.Send(kit.Request{Code: 105, Ext: map[string]string{"topic": topic}})
		}
		for range batch {
			if a := c.Next(); a.Code != 0 {
				t.Fatal(a)
			}
		}
	}
	read, readShare := e.memory(t), e.share(t)
	if got := e.inspect(t, "ns1", "{{.State.OOMKilled}} {{.RestartCount}} {{.State.Running}}"); got != "false 0 true" {
		t.Errorf("ns1 did not survive: OOM, restarts, running: %s", got)
	}
	t.Logf("of 64 MB with %d topics x %d brokers: %.0f %% registered, %.0f %% with every route read (goal: below 50 %%); resident %s and %s",
		topics, brokers, toldShare, readShare, told, read)
	_, metrics := get(httpOf(0) + "/metrics")
	if got := metric(metrics, "epitaph_registrations"); got != fmt.Sprint(brokers) {
		t.Errorf("%s of the %d brokers are registered", got, brokers)
	}
	for _, line := range strings.Split(metrics, "\n") {
		if strings.HasPrefix(line, "go_memstats_heap_") || strings.HasPrefix(line, "epitaph_cached") {
			t.Log(line)
		}
	}
	if max(toldShare, readShare) >= 50 {
		t.Errorf("more than half of the limit is taken")
	}
}

// share is what ns1 has of its memory limit, in percent.
func (e *engine) share(t *testing.T) float64 {
	t.Helper()
	text := strings.TrimSpace(e.run(t, "docker", "stats", "--no-stream", "--format", "{{.MemPerc}}", e.container(t, "ns1")))
	percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || percent <= 0 {
		t.Fatalf("docker stats says %q, %v", text, err)
	}
	return percent
}

// resident is the memory of a process: now, and at its height.
type resident struct{ now, height int }

func (r resident) String() string {
	return fmt.Sprintf("%.1f MB (at most %.1f MB)", float64(r.now)/(1<<20), float64(r.height)/(1<<20))
}

var kilobytes = regexp.MustCompile(`(?m)^(VmRSS|VmHWM):\s+(\d+) kB`)

func (e *engine) memory(t *testing.T) (r resident) {
	t.Helper()
	status, err := os.ReadFile("/proc/" + e.inspect(t, "ns1", "{{.State.Pid}}") + "/status")
	kit.Must(t, err)
	for _, m := range kilobytes.FindAllStringSubmatch(string(status), -1) {
		kb, _ := strconv.Atoi(m[2]) // digits
		if m[1] == "VmRSS" {
			r.now = kb << 10
		} else {
			r.height = kb << 10
		}
	}
	return r
}

// testPortTaken: what somebody sees whose port 9876 is in use, and that it heals by up once more.
func (e *engine) testPortTaken(t *testing.T) {
	e.compose(t, "stop", "ns1")
	e.compose(t, "rm", "-f", "ns1")
	taken, err := net.Listen("tcp", "0.0.0.0:9876")
	kit.Must(t, err)
	out, err := e.output("docker-compose", "up", "-d", "ns1")
	if err == nil || !strings.Contains(err.Error(), "9876") {
		t.Errorf("up with port 9876 taken: %s %v", out, err)
	}
	t.Logf("what is said when port 9876 is taken: %v", err)
	kit.Must(t, taken.Close())
	e.compose(t, "up", "-d")
	awaitReady(t)
	awaitMembers(t)
}
