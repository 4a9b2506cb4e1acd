package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// A roll-out ends here: a NameServer that takes TLS alone and wants certificates, a broker and tools that have them, by one file
// for all of them; and mqadmin without one is sent away.
func TestTLSOnly(t *testing.T) {
	need(t, 2)
	ca, dir := kit.NewAuthority(t), t.TempDir()
	write := func(name string, text []byte) string { return kit.WriteFile(t, filepath.Join(dir, name), text) }
	server, client := ca.Issue(t, "server"), ca.Issue(t, "client")
	settings := write("tls.properties", []byte(strings.Join([]string{
		"tls.test.mode.enable=false",
		"tls.server.need.client.auth=require", "tls.server.authClient=true", "tls.server.trustCertPath=" + write("ca.pem", ca.PEM),
		"tls.server.certPath=" + write("server.pem", server.PEM), "tls.server.keyPath=" + write("server.key", server.KeyPEM),
		"tls.client.authServer=true", "tls.client.trustCertPath=" + filepath.Join(dir, "ca.pem"),
		"tls.client.certPath=" + write("client.pem", client.PEM), "tls.client.keyPath=" + write("client.key", client.KeyPEM), "",
	}, "\n")))
	port := kit.PortBlock(t)
	addr := "127.0.0.1:" + strconv.Itoa(port)
	kit.Start(t, exec.Command(kit.Binary(t), "serve", "--listen", addr, "--data", dir, "--set", "tls.server.mode=enforcing",
		"--set", "tls.config.file="+settings))
	byTLS := []string{"-Dtls.enable=true", "-Dtls.server.mode=permissive", "-Dtls.config.file=" + settings}
	b := java.StartBroker(t, java.BrokerOptions{Version: oracle, NameServers: addr, Name: "secret", Dir: t.TempDir(), JVM: byTLS})
	kit.Await(t, soon, "the broker is registered", func() error {
		out, err := exec.Command(kit.Binary(t), "brokers", "-n", addr, "--json", "--tls-config", settings).CombinedOutput()
		if err == nil && !strings.Contains(string(out), b.Addr) {
			return os.ErrNotExist
		}
		return err
	})
	if out := java.AdminWith(t, oracle, byTLS, "clusterList", "-n", addr); !strings.Contains(out, b.Addr) {
		t.Errorf("mqadmin by TLS:\n%s", out)
	}
	if out := java.AdminWith(t, oracle, nil, "clusterList", "-n", addr); strings.Contains(out, b.Addr) {
		t.Errorf("mqadmin in plain text was served:\n%s", out)
	}
	const topic, secret = "TopicTLS", "said by TLS"
	kit.Await(t, soon, "a message is sent by TLS", func() error {
		java.AdminWith(t, oracle, byTLS, "updateTopic", "-n", addr, "-c", b.Cluster, "-t", topic)
		if out := java.AdminWith(t, oracle, byTLS, "sendMessage", "-n", addr, "-t", topic, "-p", secret); !strings.Contains(out, "SEND_OK") {
			return fmt.Errorf("send:\n%s", out)
		}
		return nil
	})
}
