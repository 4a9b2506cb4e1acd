package config

import "testing"

// Java takes an IPv6 address with brackets and without.
func TestBindAddress(t *testing.T) {
	for value, want := range map[string]string{
		"0.0.0.0": "0.0.0.0", "ns1": "ns1", "::": "::", "[::]": "::", "[::1]": "::1", "[fe80::1%eth0]": "fe80::1%eth0",
		"": "", "[::": "", "::]": "", "[]": "", "[ns1]": "", "1.2.3.4:5": "", "[::1]:9876": "", "1.2.3.4/8": "", "a b": "",
	} {
		o := &Options{BindAddress: value}
		if remedy := checkBindAddress(o); (remedy == "") != (want != "") || want != "" && o.BindHost() != want {
			t.Errorf("%q: host %q, %q; want %q", value, o.BindHost(), remedy, want)
		}
	}
}
