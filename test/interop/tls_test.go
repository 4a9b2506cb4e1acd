package interop

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// secrets are the certificates of a roll-out, with one file for NameServers, brokers, clients and tools.
type secrets struct {
	dir   string
	lines []string
}

func newSecrets(t *testing.T) *secrets {
	t.Helper()
	s := &secrets{dir: t.TempDir()}
	ca := kit.NewAuthority(t)
	write := func(name string, text []byte) string { return kit.WriteFile(t, filepath.Join(s.dir, name), text) }
	server, client := ca.Issue(t, "server"), ca.Issue(t, "client")
	s.lines = []string{
		"tls.test.mode.enable=false",
		"tls.server.authClient=true", "tls.server.trustCertPath=" + write("ca.pem", ca.PEM),
		"tls.server.certPath=" + write("server.pem", server.PEM), "tls.server.keyPath=" + write("server.key", server.KeyPEM),
		"tls.client.authServer=true", "tls.client.trustCertPath=" + filepath.Join(s.dir, "ca.pem"),
		"tls.client.certPath=" + write("client.pem", client.PEM), "tls.client.keyPath=" + write("client.key", client.KeyPEM),
	}
	return s
}

// file writes the settings, with more of them, and returns the file's name.
func (s *secrets) file(t *testing.T, name string, more ...string) string {
	t.Helper()
	return kit.WriteFile(t, filepath.Join(s.dir, name), []byte(strings.Join(append(slices.Clone(s.lines), more...), "\n")+"\n"))
}

// byTLS is what makes a Java program speak TLS, and a broker serve it beside plain text.
func byTLS(settings string) []string {
	return []string{"-Dtls.enable=true", "-Dtls.server.mode=permissive", "-Dtls.config.file=" + settings}
}

// listsByTLS is nil when a NameServer, asked by TLS, lists all these addresses.
func listsByTLS(t *testing.T, addr, settings string, brokers ...*java.Broker) func() error {
	t.Helper()
	binary := kit.Binary(t)
	return func() error {
		out, err := exec.Command(binary, "brokers", "-n", addr, "--json", "--tls-config", settings).CombinedOutput()
		for _, b := range brokers {
			if err == nil && !strings.Contains(string(out), b.Addr) {
				err = fmt.Errorf("%s does not list %s", addr, b)
			}
		}
		return err
	}
}

// A roll-out ends here: a NameServer that takes TLS alone and wants certificates, a broker, clients and tools that have them, by one
// file for all of them; and mqadmin without one is sent away.
func TestTLSOnly(t *testing.T) {
	need(t, 3)
	s := newSecrets(t)
	settings := s.file(t, "tls.properties", "tls.server.need.client.auth=require")
	addr := "127.0.0.1:" + strconv.Itoa(kit.PortBlock(t))
	kit.Start(t, exec.Command(kit.Binary(t), "serve", "--listen", addr, "--data", t.TempDir(), "--set", "tls.server.mode=enforcing",
		"--set", "tls.config.file="+settings))
	jvm := byTLS(settings)
	b := java.StartBroker(t, java.BrokerOptions{Version: oracle, NameServers: addr, Name: "secret", Dir: t.TempDir(), JVM: jvm})
	kit.Await(t, soon, "the broker is registered", listsByTLS(t, addr, settings, b))
	if out := java.AdminWith(t, oracle, jvm, "clusterList", "-n", addr); !strings.Contains(out, b.Addr) {
		t.Errorf("mqadmin by TLS:\n%s", out)
	}
	if out := java.AdminWith(t, oracle, nil, "clusterList", "-n", addr); strings.Contains(out, b.Addr) {
		t.Errorf("mqadmin in plain text was served:\n%s", out)
	}
	const topic, secret = "TopicTLS", "said by TLS"
	kit.Await(t, 5*time.Minute, "a message is sent by TLS", func() error {
		java.AdminWith(t, oracle, jvm, "updateTopic", "-n", addr, "-c", b.Cluster, "-t", topic)
		if out := java.AdminWith(t, oracle, jvm, "sendMessage", "-n", addr, "-t", topic, "-p", secret); !strings.Contains(out, "SEND_OK") {
			return fmt.Errorf("send:\n%s", out)
		}
		return nil
	})
	client := startPeer(t, oracle, java.ClientOptions{Endpoint: addr, Topic: topic + "Client", Group: "secret", Count: messages(), Every: 5 * time.Millisecond,
		SendTimeout: time.Minute, JVM: jvm})
	kit.Await(t, 5*time.Minute, "a Java producer and consumer by TLS", delivered(client, messages()))
}

// rollOut is two NameServers that go from plain text to TLS alone, with two brokers.
type rollOut struct {
	*secrets
	first, required string // the file of settings; and with certificates of clients required
	addrs, dirs     []string
	servers         []*kit.Process
	brokers         []*java.Broker
	options         []java.BrokerOptions
}

// serve starts a NameServer, or starts it anew with other settings.
func (r *rollOut) serve(t *testing.T, i int, sets ...string) {
	t.Helper()
	if p := r.servers[i]; p != nil {
		kit.Must(t, p.Signal(syscall.SIGTERM))
		if _, err := p.Wait(time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"serve", "--listen", r.addrs[i], "--data", r.dirs[i]}
	for _, set := range sets {
		args = append(args, "--set", set)
	}
	r.servers[i] = kit.Start(t, exec.Command(kit.Binary(t), args...))
}

// serveAll does so one after the other: each must list every broker before the next one.
func (r *rollOut) serveAll(t *testing.T, sets ...string) {
	t.Helper()
	for i, addr := range r.addrs {
		r.serve(t, i, sets...)
		kit.Await(t, 2*time.Minute, addr+" lists every broker", listsByTLS(t, addr, r.required, r.brokers...))
	}
}

// restart gives a broker more flags.
func (r *rollOut) restart(t *testing.T, i int, jvm []string) {
	t.Helper()
	kit.Must(t, r.brokers[i].Signal(syscall.SIGTERM))
	if _, err := r.brokers[i].Wait(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	r.options[i].Port, r.options[i].JVM = r.brokers[i].Port, jvm
	r.brokers[i] = java.StartBroker(t, r.options[i])
	for _, addr := range r.addrs {
		kit.Await(t, 2*time.Minute, addr+" lists every broker", listsByTLS(t, addr, r.required, r.brokers...))
	}
}

// tools are the releases of mqadmin that are used on the way.
var tools = []string{oracle, "4.9.7"}

// adminByTLS fails when mqadmin of a release, by TLS, does not list every broker.
func (r *rollOut) adminByTLS(t *testing.T, settings, addr string) {
	t.Helper()
	for _, version := range tools {
		if out := java.AdminWith(t, version, byTLS(settings), "clusterList", "-n", addr); !kit.ContainsAll(out, r.brokers[0].Addr, r.brokers[1].Addr) {
			t.Errorf("mqadmin %s by TLS at %s:\n%s", version, addr, out)
		}
	}
}

// progress waits until clients have sent and received more than they had, without a failure since before.
func progress(t *testing.T, step string, clients map[string]*java.Client) {
	t.Helper()
	for name, c := range clients {
		before := c.Events()
		kit.Await(t, 2*time.Minute, step+": "+name+" sends and receives", func() error {
			e := c.Events()
			if len(e.Sent) < len(before.Sent)+50 || len(e.Received) < len(before.Received)+50 {
				return fmt.Errorf("%d sent, %d received; before %d and %d", len(e.Sent), len(e.Received), len(before.Sent), len(before.Received))
			}
			return nil
		})
	}
}

// unbroken fails when more than one send in a hundred failed since it was last asked. No NameServer has a part in a send, but a machine
// that is busy lets one of many handshakes between clients and brokers take longer than the 3 s that the client has for it
// (com.rocketmq.remoting.client.connect.timeout).
func unbroken(t *testing.T, step string, clients map[string]*java.Client, before map[string]java.Events) {
	t.Helper()
	for name, c := range clients {
		e, was := c.Events(), before[name]
		before[name] = e
		t.Logf("%s: %s sent %d, failed %d, received %d", step, name, len(e.Sent), len(e.Failed), len(e.Received))
		if sent, failed := len(e.Sent)-len(was.Sent), len(e.Failed)-len(was.Failed); failed > 0 {
			t.Logf("%s: %d of %d sends of %s failed: %q", step, failed, sent, name, e.Failed)
			if 100*failed > sent {
				t.Errorf("%s: %d of %d sends of %s failed", step, failed, sent, name)
			}
		}
	}
}

var handshakeFailed = regexp.MustCompile(`(?m)^.*tls failed.*$`)

// The order of a roll-out in docs/operations.md, as it is written there: each step of NameServers, brokers of two releases, Java clients of
// two releases and mqadmin, while others that have not been moved yet send and receive. The Go client, which knows no TLS, is
// served until the last step.
func TestTLSRollOut(t *testing.T) {
	needLong(t)
	need(t, 6)
	r := &rollOut{secrets: newSecrets(t), servers: make([]*kit.Process, 2)}
	r.first = r.file(t, "tls.properties")
	r.required = r.file(t, "required.properties", "tls.server.need.client.auth=require")
	for i := range r.servers {
		r.addrs = append(r.addrs, "127.0.0.1:"+strconv.Itoa(kit.PortBlock(t)))
		r.dirs = append(r.dirs, t.TempDir())
		r.serve(t, i)
	}
	both := strings.Join(r.addrs, ";")
	for _, version := range []string{"5.5.0", "4.9.7"} {
		o := java.BrokerOptions{Version: version, NameServers: both, Name: "broker-" + version, Dir: t.TempDir(),
			Properties: map[string]string{"registerNameServerPeriod": "10000"}}
		r.options = append(r.options, o)
		r.brokers = append(r.brokers, java.StartBroker(t, o))
	}
	for _, topic := range []string{"plain", "go", "tls550", "tls494"} {
		for _, b := range r.brokers {
			createTopic(t, b.Addr, topic, 4)
		}
		for _, addr := range r.addrs {
			kit.Await(t, 2*time.Minute, "both brokers have the topic", hasTopic(addr, topic, "broker-5.5.0", "broker-4.9.7"))
		}
	}
	client := func(topic string) java.ClientOptions {
		return java.ClientOptions{Endpoint: both, Topic: topic, Group: "group-" + topic, Count: -1, Every: 50 * time.Millisecond,
			SendTimeout: time.Minute}
	}
	before := map[string]java.Events{}
	clients := map[string]*java.Client{"Java in plain text": startPeer(t, oracle, client("plain"))}
	progress(t, "before", clients)

	r.serveAll(t, "tls.config.file="+r.first)
	progress(t, "step 1", clients)
	unbroken(t, "step 1", clients, before)

	for i := range r.brokers {
		r.restart(t, i, byTLS(r.first))
		progress(t, "step 2", clients)
	}
	unbroken(t, "step 2", clients, before)

	o, old := client("tls550"), client("tls494")
	o.JVM, old.JVM = byTLS(r.first), byTLS(r.first)
	clients["Java 5.5.0"] = startPeer(t, oracle, o)
	progress(t, "step 3", clients)
	clients["Java in plain text"].Kill()
	delete(clients, "Java in plain text")
	clients["Java 4.9.4"] = startPeer(t, "4.9.4", old)
	progress(t, "step 3", clients)
	unbroken(t, "step 3", clients, before)
	for _, addr := range r.addrs {
		r.adminByTLS(t, r.first, addr)
	}
	o = client("go") // it has one goroutine that sends, and only then consumes
	o.Count, o.Every = 50, 5*time.Millisecond
	kit.Await(t, 5*time.Minute, "the Go client in plain text", delivered(startGoClient(t, o), 50))

	r.serveAll(t, "tls.config.file="+r.required)
	progress(t, "step 4", clients)
	unbroken(t, "step 4", clients, before)
	for i, p := range r.servers {
		if lines := handshakeFailed.FindAllString(p.Output(), -1); lines != nil {
			t.Errorf("step 4: handshakes failed at %s: %q", r.addrs[i], lines)
		}
	}

	r.serveAll(t, "tls.config.file="+r.required, "tls.server.mode=enforcing")
	progress(t, "step 5", clients)
	unbroken(t, "step 5", clients, before)
	r.adminByTLS(t, r.required, both)
	for _, addr := range r.addrs {
		for _, version := range tools {
			if out := java.Admin(t, version, "clusterList", "-n", addr); strings.Contains(out, r.brokers[0].Addr) {
				t.Errorf("mqadmin %s in plain text was served:\n%s", version, out)
			}
		}
	}

	// The way back: NameServers take plain text again, then clients speak it, then brokers, and last certificates go.
	r.serveAll(t, "tls.config.file="+r.first)
	clients["back in plain text"] = startPeer(t, oracle, client("plain"))
	progress(t, "back from step 5", clients)
	receivedAll(t, clients)
	for _, name := range []string{"Java 5.5.0", "Java 4.9.4"} {
		clients[name].Kill()
		delete(clients, name)
	}
	for i := range r.brokers {
		r.restart(t, i, nil)
		progress(t, "back from step 2", clients)
	}
	for i, addr := range r.addrs {
		r.serve(t, i)
		kit.Await(t, 2*time.Minute, "both brokers are there", hasTopic(addr, "plain", "broker-5.5.0", "broker-4.9.7"))
		if out, err := exec.Command(kit.Binary(t), "brokers", "-n", addr, "--tls-config", r.first).CombinedOutput(); err == nil {
			t.Errorf("%s still serves the certificate:\n%s", addr, out)
		}
	}
	progress(t, "back from step 1", clients)
	unbroken(t, "the way back", clients, before)
	receivedAll(t, clients)
}

// receivedAll waits until clients, which go on sending, have nearly all that they sent.
func receivedAll(t *testing.T, clients map[string]*java.Client) {
	t.Helper()
	for name, c := range clients {
		kit.Await(t, 2*time.Minute, "what "+name+" sent is received", func() error {
			if e := c.Events(); len(e.Sent)-len(e.Received) > 20 { // it goes on sending
				return fmt.Errorf("%d sent, %d received", len(e.Sent), len(e.Received))
			}
			return nil
		})
	}
}
