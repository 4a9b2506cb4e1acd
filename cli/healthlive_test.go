package cli

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/inproc"
)

// Whatever a node answers at its own port is life: plain text or TLS as it is set, ready or not, with a certificate that nobody
// knows, or with an alert because it wants one.
func TestHealthLive(t *testing.T) {
	ca, dir := kit.NewAuthority(t), t.TempDir()
	id := ca.Issue(t, "server")
	file := func(name string, text []byte) string { return kit.WriteFile(t, filepath.Join(dir, name), text) }
	tls := []string{
		"--set", "tls.test.mode.enable=false", "--set", "tls.server.certPath=" + file("cert", id.PEM),
		"--set", "tls.server.keyPath=" + file("key", id.KeyPEM), "--set", "tls.server.trustCertPath=" + file("trust", ca.PEM),
	}
	for name, flags := range map[string][]string{
		"plain text and TLS": nil,
		"not ready":          {"--set", "needWaitForService=true", "--set", "waitSecondsForService=600"},
		"plain text only":    {"--set", "tls.server.mode=disabled"},
		"TLS only":           append(tls, "--set", "tls.server.mode=enforcing"),
		"TLS, with a certificate of the client": append(tls, "--set", "tls.server.mode=enforcing",
			"--set", "tls.server.need.client.auth=require", "--set", "tls.server.authClient=true"),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil, append([]string{"epitaph", "serve", "--listen", "127.0.0.1:0", "--data", t.TempDir()}, flags...)...)
			defer s.stop(t, syscall.SIGTERM)
			for _, told := range [][]string{nil, flags} { // it need not be told how the node is set
				status, out, errs := run(append([]string{"health", "--live", "--for", "10s", "--listen", s.addr}, told...)...)
				if status != command.OK || !strings.HasPrefix(out, "live: "+s.addr+" answered") {
					t.Errorf("status %d, %s%s", status, out, errs)
				}
			}
		})
	}
}

// It says no at the end of --for, and not before: a node that answers late lives.
func TestHealthLiveWaits(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing, like a node that stands still
	kit.Must(t, err)
	defer mute.Close()
	for name, addr := range map[string]string{"mute": mute.Addr().String(), "nobody": kit.Loopback(kit.FreePort(t))} {
		began := time.Now()
		status, out, errs := run("health", "--live", "--for", "1500ms", "--listen", addr)
		if took := time.Since(began); status != command.Failed || out != "" || took < 1500*time.Millisecond ||
			!strings.Contains(errs, addr+" has not answered for 1.5s: ") {
			t.Errorf("%s: status %d after %v, %s%s", name, status, took, out, errs)
		}
	}
	port := kit.FreePort(t)
	late := kit.Loopback(port)
	done := make(chan int, 1)
	go func() {
		status, _, _ := run("health", "--live", "--listen", late)
		done <- status
	}()
	select {
	case status := <-done:
		t.Fatalf("status %d before anybody listened", status)
	case <-time.After(100 * time.Millisecond):
	}
	inproc.StartNode(t, func(c *config.Config) { c.Options.ListenPort = int32(port) })
	if status := <-done; status != command.OK {
		t.Errorf("status %d", status)
	}
	if status, _, errs := run("health", "--live", "--listen", late, "--for", "-1s"); status != command.Usage || !strings.Contains(errs, "--for=-1s") {
		t.Errorf("status %d, %s", status, errs)
	}
	if status, _, errs := run("health", "--live", "--listen", "9876"); status != command.Usage || !strings.Contains(errs, "--listen") {
		t.Errorf("status %d, %s", status, errs)
	}
}
