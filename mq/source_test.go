package mq

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.0.0/16":                        "10.1.0.0/16",
		"192.0.2.7":                          "192.0.2.7",
		" 10.1.0.0/16 , ::1,,2001:db8::/32,": "10.1.0.0/16,::1,2001:db8::/32",
		"0.0.0.0/0,::/0":                     "0.0.0.0/0,::/0",
		"::ffff:10.1.2.3":                    "10.1.2.3",
		"::ffff:10.1.0.0/112":                "10.1.0.0/16",
		strings.Repeat("10.0.0.1,", 1024):    strings.TrimSuffix(strings.Repeat("10.0.0.1,", 1024), ","),
	} {
		n, err := ParseNetworks(text)
		if err != nil || n.String() != want {
			t.Errorf("%.40q: %.60s, %v; want %.60s", text, n, err, want)
		}
	}
	for text, remedy := range map[string]string{
		"": "want CIDR", " , ": "want CIDR", "everybody": `"everybody": want an address or a network`, "10.1.0.0/33": "want an address or",
		"10.0.0.1;10.0.0.2": "want an address or", "10.1.2.3/8": "want the network, 10.0.0.0/8, or the address alone, 10.1.2.3",
		"fe80::1%eth0": "without a zone", "fe80::%eth0/64": "want an address or", "::ffff:0.0.0.0/64": "IPv4 addresses as such",
		"10.0.0.1,x": `"x"`, "10.0.0.1:9876": "want an address or", strings.Repeat("10.0.0.1,", 1025): "at most 1024",
	} {
		if n, err := ParseNetworks(text); err == nil || n != nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%.40q: %v, %v; want %s", text, n, err, remedy)
		}
	}
}

func TestNetworksContain(t *testing.T) {
	n, err := ParseNetworks("10.1.0.0/16,192.0.2.7,fe80::/10,::1")
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"10.1.0.0": true, "10.1.255.255": true, "10.2.0.0": false, "10.0.255.255": false, "192.0.2.7": true, "192.0.2.6": false,
		"192.0.2.8": false, "::ffff:10.1.2.3": true, "fe80::1": true, "fe80::1%eth0": true, "febf::1": true, "fec0::1": false,
		"::1": true, "::2": false, "127.0.0.1": false,
	} {
		if got := n.Contain(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	every, err := ParseNetworks("0.0.0.0/0,::/0")
	if err != nil || every.Contain(netip.Addr{}) || n.Contain(netip.Addr{}) || Networks(nil).Contain(netip.MustParseAddr("10.1.0.0")) {
		t.Errorf("no address, or no network, is contained (%v)", err)
	}
}

// A source apart is never the machine whose address it has, and no machine at all.
func TestSource(t *testing.T) {
	addr := netip.MustParseAddr("10.1.2.3")
	machine, apart := Source{Addr: addr}, Source{Addr: addr, Apart: true}
	if machine == apart || machine.Machine() != addr || apart.Machine().IsValid() || (Source{}).Machine().IsValid() {
		t.Errorf("%v and %v", machine, apart)
	}
	for s, want := range map[Source]string{machine: "10.1.2.3", apart: "10.1.2.3 (sent a PROXY header that is not believed)", {}: "no address"} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
