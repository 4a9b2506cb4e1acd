package rpc

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func v2(verCmd, family byte, rest string) string {
	return string(kit.ProxyV2(verCmd, family, []byte(rest)...))
}

const (
	v2IPv4 = "\x0a\x01\x02\x03\x0a\x01\x02\x04\x03\xe8\x26\x94"
	tlv    = "\x01\x00\x02h2\xe0\x00\x03abc"
)

var (
	v2IPv6 = "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + strings.Repeat("\x00", 15) + "\x01\x03\xe8\x26\x94"
	mapped = strings.Repeat("\x00", 10) + "\xff\xff\x0a\x01\x02\x03" + strings.Repeat("\x00", 15) + "\x01\x03\xe8\x26\x94"
)

var proxyHeaders = map[string]struct {
	in     string
	source string // "" when the header names none
	bad    bool
}{
	"v1 TCP4":              {"PROXY TCP4 10.1.2.3 10.1.2.4 1000 9876\r\n", "10.1.2.3:1000", false},
	"v1 TCP6":              {"PROXY TCP6 2001:db8::1 ::1 1000 9876\r\n", "[2001:db8::1]:1000", false},
	"v1 UNKNOWN":           {"PROXY UNKNOWN\r\n", "", false},
	"v1 UNKNOWN with more": {"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", false},
	"v1 UDP4":              {"PROXY UDP4 10.1.2.3 10.1.2.4 1000 9876\r\n", "", true},
	"v1 no protocol":       {"PROXY\r\n", "", true},
	"v1 short":             {"PROXY TCP4 10.1.2.3 10.1.2.4 1000\r\n", "", true},
	"v1 long":              {"PROXY TCP4 10.1.2.3 10.1.2.4 1000 9876 1\r\n", "", true},
	"v1 family":            {"PROXY TCP4 ::1 ::1 1000 9876\r\n", "", true},
	"v1 address":           {"PROXY TCP4 10.1.2 10.1.2.4 1000 9876\r\n", "", true},
	"v1 port":              {"PROXY TCP4 10.1.2.3 10.1.2.4 65536 9876\r\n", "", true},
	"v1 destination":       {"PROXY TCP4 10.1.2.3 x 1000 9876\r\n", "", true},
	"v1 endless":           {"PROXY TCP4 " + strings.Repeat("1", 200), "", true},
	"v1 other word":        {"PROXYX TCP4 10.1.2.3 10.1.2.4 1000 9876\r\n", "", true},
	"v2 TCP4":              {v2(0x21, 0x11, v2IPv4), "10.1.2.3:1000", false},
	"v2 UDP4":              {v2(0x21, 0x12, v2IPv4), "10.1.2.3:1000", false},
	"v2 TCP6":              {v2(0x21, 0x21, v2IPv6), "[2001:db8::1]:1000", false},
	"v2 mapped":            {v2(0x21, 0x21, mapped), "10.1.2.3:1000", false},
	"v2 TLVs":              {v2(0x21, 0x11, v2IPv4+tlv), "10.1.2.3:1000", false},
	"v2 unix":              {v2(0x21, 0x31, strings.Repeat("/", 216)), "", false},
	"v2 LOCAL":             {v2(0x20, 0x00, ""), "", false},
	"v2 LOCAL with more":   {v2(0x20, 0x11, v2IPv4+tlv), "", false},
	"v2 unspecified":       {v2(0x21, 0x00, "anything"), "", false},
	"v2 32 KiB":            {v2(0x21, 0x11, v2IPv4+"\x01\x7f\xf1"+strings.Repeat("x", 0x7ff1)), "10.1.2.3:1000", false},
	"v2 version 1":         {v2(0x11, 0x11, v2IPv4), "", true},
	"v2 command 2":         {v2(0x22, 0x11, v2IPv4), "", true},
	"v2 family":            {v2(0x21, 0x41, v2IPv4), "", true},
	"v2 short addresses":   {v2(0x21, 0x11, v2IPv4[:11]), "", true},
	"v2 TLV too long":      {v2(0x21, 0x11, v2IPv4+"\x01\x00\x09h2"), "", true},
	"v2 TLV long by one":   {v2(0x21, 0x11, v2IPv4+"\x01\x00\x03h2"), "", true},
}

func TestProxyHeaders(t *testing.T) {
	for name, c := range proxyHeaders {
		t.Run(name, func(t *testing.T) {
			source, n, err := parseProxy([]byte(c.in + "rest"))
			if (err != nil) != c.bad {
				t.Fatalf("error %v, want one: %v", err, c.bad)
			}
			if c.bad {
				return
			}
			want := netip.AddrPort{}
			if c.source != "" {
				want = netip.MustParseAddrPort(c.source)
			}
			if source != want || n != len(c.in) {
				t.Errorf("source %v and %d bytes, want %v and %d", source, n, want, len(c.in))
			}
			for i := range len(c.in) {
				if _, n, err := parseProxy([]byte(c.in[:i])); n >= 0 || err != nil {
					t.Fatalf("decided by %d of %d bytes: %d, %v", i, len(c.in), n, err)
				}
			}
		})
	}
	for _, in := range []string{"\x00\x00\x00\x05", "\x16\x03", "GET /", "PRO\x00", "\r\n\r\nX"} {
		if _, n, err := parseProxy([]byte(in)); n != 0 || err != nil {
			t.Errorf("%q taken for a PROXY header: %d, %v", in, n, err)
		}
	}
}

func TestProxyHeaderOnTheWire(t *testing.T) {
	remote := make(chan netip.AddrPort, 1)
	s := start(t, handlerFunc{serve: func(c *Conn, _ *remoting.Request, _ *remoting.Response) { remote <- c.RemoteAddr() }}, nil)
	for name, c := range proxyHeaders {
		for _, split := range []bool{false, true} {
			p := dial(t, s)
			if split {
				p.Put([]byte(c.in))
			} else {
				p.Put([]byte(c.in + string(request(206, 1, 0, ""))))
			}
			if c.bad {
				p.Closed()
				continue
			}
			if split {
				p.Put(request(206, 1, 0, ""))
			}
			p.wantHeader(`"opaque":1,`)
			want := c.source
			if want == "" {
				want = p.LocalAddr().String()
			}
			if got := (<-remote).String(); got != want {
				t.Errorf("%s: remote %s, want %s", name, got, want)
			}
			p.Put([]byte(c.in)) // a second one is no frame
			p.Closed()
		}
	}
}

// TestSource: who a connection counts as, by what its header says and by whether the peer may say it.
func TestSource(t *testing.T) {
	here := netip.MustParseAddr("127.0.0.1")
	for name, c := range map[string]struct {
		from     string
		believed bool
	}{
		"nobody": {"", false}, "somebody else": {"10.0.0.0/8,127.0.0.2", false}, "the peer": {"10.0.0.0/8,127.0.0.1", true},
	} {
		t.Run(name, func(t *testing.T) {
			var from mq.Networks
			if c.from != "" {
				var err error
				from, err = mq.ParseNetworks(c.from)
				kit.Must(t, err)
			}
			source := make(chan mq.Source, 1)
			s := start(t, handlerFunc{serve: func(c *Conn, _ *remoting.Request, _ *remoting.Response) { source <- c.Source() }},
				func(cfg *Config) { cfg.ProxyFrom = from })
			ask := func(header string) mq.Source {
				t.Helper()
				p := dial(t, s)
				p.Put([]byte(header + string(request(206, 1, 0, ""))))
				p.wantHeader(`"opaque":1,`)
				return <-source
			}
			if got := ask(""); got != (mq.Source{Addr: here}) {
				t.Errorf("without a header: %v", got)
			}
			for header, h := range proxyHeaders {
				if h.bad {
					continue
				}
				want := mq.Source{Addr: here, Apart: !c.believed}
				if c.believed && h.source != "" {
					want.Addr = netip.MustParseAddrPort(h.source).Addr()
				}
				if got := ask(h.in); got != want {
					t.Errorf("%s: %v, want %v", header, got, want)
				}
			}
		})
	}
}

// The longest PROXY header is charged with what it is, not with the longest frame that may follow it.
func TestLongestProxyHeaderIsCharged(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, func(c *Config) { c.Memory = mb })
	p := dial(t, s)
	p.Put([]byte(v2(0x20, 0x00, strings.Repeat("x", proxyMax-proxyV2Head))))
	p.Put(request(206, 1, 0, ""))
	p.wantHeader(`"opaque":1,`)
	if n := s.Stats().NoBudget; n != 0 {
		t.Errorf("%d connections found no memory", n)
	}
}

// TestOnlyOneProxyHeader: what a client behind a proxy sends as a second header is a frame, and no good one.
func TestOnlyOneProxyHeader(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, nil)
	first := "PROXY TCP4 10.1.2.3 10.1.2.4 1000 9876\r\n"
	for name, second := range map[string]string{
		"v1": "PROXY TCP4 10.9.9.9 10.1.2.4 1000 9876\r\n", "v1 UNKNOWN": "PROXY UNKNOWN\r\n", "v2": v2(0x21, 0x11, v2IPv4),
	} {
		t.Run(name, func(t *testing.T) {
			request := string(request(206, 1, 0, ""))
			whole := dial(t, s)
			whole.Put([]byte(first + second + request))
			whole.Closed()
			split, before := dial(t, s), s.Stats().BytesIn
			split.Put([]byte(first))
			kit.Until(t, "the first header read", func() bool { return s.Stats().BytesIn == before+int64(len(first)) })
			split.Put([]byte(second + request))
			split.Closed()
		})
	}
	kit.Until(t, "all gone and counted as malformed", func() bool { return s.ConnCount() == 0 && s.Stats().Malformed == 6 })
}

func TestProxyHeaderMustCome(t *testing.T) {
	s := start(t, handlerFunc{serve: echo}, func(c *Config) { c.FirstTimeout = 10 * time.Millisecond })
	half, hello, silent := dial(t, s), dial(t, s), dial(t, s)
	half.Put([]byte("PROXY TCP4 10"))
	hello.Put([]byte("\x0d"))
	half.Closed()
	hello.Closed()
	silent.Put(request(206, 1, 0, "")) // the time counts from the first byte only
	silent.wantHeader(`"opaque":1,`)
	if n := s.Stats().TooSlow; n != 2 {
		t.Errorf("%d closed for slowness, want 2", n)
	}
}

func FuzzProxy(f *testing.F) {
	for _, c := range proxyHeaders {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		source, n, err := parseProxy(b)
		if n > len(b) || err != nil && (source.IsValid() || n > 0) {
			t.Fatalf("%d of %d bytes, %v, %v", n, len(b), source, err)
		}
		if n < 0 || err != nil {
			return
		}
		// What follows never changes what was read, and no shorter start decides otherwise.
		if s2, n2, err := parseProxy(append(b[:len(b):len(b)], "tail"...)); s2 != source || n2 != n || err != nil {
			t.Fatalf("a tail changes %v %d into %v %d %v", source, n, s2, n2, err)
		}
		if n > 0 {
			if _, n2, _ := parseProxy(b[:n-1]); n2 >= 0 {
				t.Fatalf("one byte less decides too: %d", n2)
			}
		}
	})
}
