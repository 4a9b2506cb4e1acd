package java_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// The released name servers start here, serve on the address that the handle gives, and end when asked.
func TestNameServerStartsAndEnds(t *testing.T) {
	if os.Getenv("EPITAPH_INTEROP") == "" {
		t.Skip("SKIPPED: set EPITAPH_INTEROP=1 to run released Java software")
	}
	for _, version := range []string{"5.5.0", "4.9.7"} {
		t.Run(version, func(t *testing.T) {
			n := java.StartNameServer(t, version, java.NameServerOptions{})
			conn, err := net.DialTimeout("tcp", n.Addr, 5*time.Second)
			kit.Must(t, err)
			conn.Close()
			n.Term()
			if status, err := n.Wait(30 * time.Second); err != nil || status != 143 {
				t.Fatalf("after SIGTERM: status %d, %v; want 143", status, err)
			}
		})
	}
}

func TestNameServerRefusesBadStore(t *testing.T) {
	if os.Getenv("EPITAPH_INTEROP") == "" {
		t.Skip("SKIPPED: set EPITAPH_INTEROP=1 to run released Java software")
	}
	dir := t.TempDir()
	kit.Must(t, os.WriteFile(dir+"/kvConfig.json", []byte("{"), 0o644))
	n := java.PrepareNameServer(t, "5.5.0", java.NameServerOptions{Dir: dir})
	if err := n.Await(); err == nil {
		t.Fatal("started with a broken KV store")
	}
	if status, err := n.Wait(30 * time.Second); err != nil || status != 255 {
		t.Fatalf("status %d, %v; want 255", status, err)
	}
}
