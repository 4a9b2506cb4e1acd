package interop

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// What 5.5.0 and 4.9.7 say to the certificates of clients that remoting/rpc.TestChainsOfClients shows to this program.
func TestJavaTakesChains(t *testing.T) {
	need(t, 1)
	for _, version := range []string{"5.5.0", "4.9.7"} {
		chains, trust := kit.ClientChains(t)
		dir, own := t.TempDir(), kit.NewAuthority(t)
		write := func(name string, text []byte) string { return kit.WriteFile(t, filepath.Join(dir, name), text) }
		s := java.StartNameServer(t, version, java.NameServerOptions{TLS: true, JVM: []string{
			"-Dtls.server.mode=enforcing", "-Dtls.test.mode.enable=false", "-Dtls.server.authClient=true", "-Dtls.server.need.client.auth=require",
			"-Dtls.server.certPath=" + write("cert", own.PEM), "-Dtls.server.keyPath=" + write("key", own.KeyPEM), "-Dtls.server.trustCertPath=" + write("trust", trust),
		}})
		taken := 0
		for _, c := range chains {
			got := servesOne(t, s.Addr, c)
			if want := c.Taken != slices.Contains(c.Else, version); got != want {
				t.Errorf("%s takes %q: %v, want %v", version, c.Name, got, want)
			}
			if got {
				taken++
			}
		}
		t.Logf("%s takes %d of %d", version, taken, len(chains))
	}
}

// servesOne tells whether a server answers who shows a chain.
func servesOne(t *testing.T, addr string, chain kit.ClientChain) bool {
	t.Helper()
	c := kit.Dial(t, addr)
	defer c.Close()
	inner, err := c.Secure(chain.TLS())
	if err != nil || inner.TryPut(kit.JSONFrame(`{"code":206,"opaque":1}`)) != nil {
		return false
	}
	_, err = inner.TryNext(kit.Patience) // TLS 1.3: a refusal comes with the first read
	return err == nil
}
