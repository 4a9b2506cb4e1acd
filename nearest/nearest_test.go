package nearest

import "testing"

func TestName(t *testing.T) {
	names := []string{"serve", "cluster", "brokers", "members", "tombstones", "top", "tls.server.mode", "tls.server.keyPath", "listenPort"}
	for written, want := range map[string]string{
		"serve": "serve", "srve": "serve", "sevre": "serve", "servee": "serve", "Serve": "serve", "sarve": "serve",
		"broker": "brokers", "bokers": "brokers", "tombstone": "tombstones", "tobstnes": "tombstones", "tpo": "top",
		"tls.sever.mode": "tls.server.mode", "TLS.SERVER.MODE": "tls.server.mode", "listenport": "listenPort", "listen-port": "listenPort",
		"x": "", "": "", "start": "", "reboot": "", "deploy": "",
	} {
		if got := Name(written, names); got != want {
			t.Errorf("%q: %q, want %q", written, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"ca", "abc", 3}} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
