package interop

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// The programs that can stand as the name server.
const (
	targetEpitaph = "epitaph"
	targetJava    = "java"
)

// oracle is the release that defines what is right.
const oracle = "5.5.0"

// target says which program the tests are about.
func target() string {
	if os.Getenv("EPITAPH_INTEROP_TARGET") == targetJava {
		return targetJava
	}
	return targetEpitaph
}

// nameServer is a running name server of either kind, which can be ended and started again on its address.
type nameServer struct {
	Addr  string
	kind  string
	dir   string
	port  int
	props map[string]string
	proc  *kit.Process
}

// startNameServer runs a name server of a kind with options of the Java properties file and waits until it answers.
func startNameServer(t *testing.T, kind string, props map[string]string) *nameServer {
	t.Helper()
	n := &nameServer{kind: kind, dir: t.TempDir(), port: kit.PortBlock(t), props: props}
	n.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port))
	n.start(t)
	return n
}

// list is where ours serves its address, which Java's does not.
func (n *nameServer) list() string { return kit.Loopback(n.port + 1) }

func (n *nameServer) start(t *testing.T) {
	t.Helper()
	if n.kind == targetJava {
		n.proc = java.StartNameServer(t, oracle, java.NameServerOptions{Port: n.port, Dir: n.dir, Properties: n.props}).Process
	} else {
		config := filepath.Join(n.dir, "namesrv.conf")
		kit.Must(t, java.WriteProperties(config, n.props))
		n.proc = kit.Start(t, exec.Command(kit.Binary(t), "serve", "--listen", n.Addr, "--data", n.dir, "--config", config,
			"--address-server", n.list()))
	}
	kit.Await(t, 30*time.Second, "name server "+n.kind+" answers", func() error {
		_, err := call(n.Addr, codeTopics, nil)
		return err
	})
}

// crash ends the name server without a goodbye; start brings it back on the same address with empty tables.
func (n *nameServer) crash() { n.proc.Kill() }

// end asks the name server to end and waits for it.
func (n *nameServer) end(t *testing.T) {
	t.Helper()
	kit.Must(t, n.proc.Signal(syscall.SIGTERM))
	if _, err := n.proc.Wait(30 * time.Second); err != nil {
		t.Fatal(err)
	}
}
