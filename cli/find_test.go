package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// listenAt is a socket at which somebody answers every connection by closing it.
func listenAt(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	kit.Must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}

// Which node a command asks, by what it is told and what there is.
func TestFind(t *testing.T) {
	empty, one, two, stale := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	odd := filepath.Join(t.TempDir(), "a[b]*?")
	kit.Must(t, os.Mkdir(odd, 0o700))
	for _, path := range []string{one + "/epitaph-9876.sock", two + "/epitaph-9876.sock", two + "/epitaph-9877.sock", odd + "/epitaph.sock"} {
		listenAt(t, path)
	}
	listenAt(t, one+"/other.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale + "/epitaph-1.sock", Net: "unix"})
	kit.Must(t, err)
	l.SetUnlinkOnClose(false)
	l.Close()
	const far, near = "10.1.2.3:9886", "0.0.0.0:9886"
	for name, c := range map[string]struct {
		usual []string
		w     where
		want  string
	}{
		"the usual place":                 {[]string{one, empty}, where{}, one + "/epitaph-9876.sock"},
		"the other usual place":           {[]string{empty, one}, where{}, one + "/epitaph-9876.sock"},
		"none":                            {[]string{empty, stale}, where{}, defaultHTTP},
		"a crash left one":                {[]string{stale, one}, where{}, one + "/epitaph-9876.sock"},
		"several":                         {[]string{two, empty}, where{}, "several nodes"},
		"one in each":                     {[]string{one, odd}, where{}, "several nodes"},
		"several, and one is named":       {[]string{two}, where{socket: "/x", socketGiven: true}, "/x"},
		"several, and HTTP is named":      {[]string{two}, where{http: far, httpGiven: true}, far},
		"by the variable":                 {[]string{two}, where{socket: "/x"}, "/x"},
		"data":                            {[]string{two}, where{data: one, dataGiven: true}, one + "/epitaph-9876.sock"},
		"data by the variable":            {[]string{two}, where{data: one}, one + "/epitaph-9876.sock"},
		"a strange name":                  {[]string{two}, where{data: odd, dataGiven: true}, odd + "/epitaph.sock"},
		"data without one":                {[]string{one}, where{data: empty, dataGiven: true}, "no node has its socket in " + empty},
		"the variable without one":        {[]string{one}, where{data: empty}, defaultHTTP},
		"data beside the socket variable": {[]string{two}, where{data: one, dataGiven: true, socket: "/x"}, one + "/epitaph-9876.sock"},
		"HTTP of this host by variable":   {[]string{one}, where{http: near}, one + "/epitaph-9876.sock"},
		"HTTP of another by variable":     {[]string{one}, where{http: far}, far},
		"two ways":                        {nil, where{http: far, httpGiven: true, socket: "/x", socketGiven: true}, "give one of them"},
	} {
		if c.w.http == "" {
			c.w.http = defaultHTTP
		}
		got, err := (&program{usual: c.usual}).find(t.Context(), c.w)
		if told := got.String(); err != nil && !strings.Contains(err.Error(), c.want) || err == nil && told != c.want {
			t.Errorf("%s: %s %v, want %s", name, told, err, c.want)
		}
	}
	_, err = (&program{usual: []string{two}}).find(t.Context(), where{http: defaultHTTP})
	if err == nil || !strings.Contains(err.Error(), two+"/epitaph-9876.sock\n  "+two+"/epitaph-9877.sock") {
		t.Errorf("not all are listed: %v", err)
	}
}

// Without HTTP every command works, found by the data directory; nobody is asked at a socket that is no node's.
func TestCommandsBySocket(t *testing.T) {
	data := t.TempDir()
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", data)
	_, port, err := net.SplitHostPort(s.addr)
	kit.Must(t, err)
	socket := filepath.Join(data, "epitaph-"+port+".sock")
	if !strings.Contains(s.screen, "socket      "+socket) {
		t.Errorf("the screen does not name %s:\n%s", socket, s.screen)
	}
	for args, want := range map[string]string{
		"health --data " + data: "ready", "brokers --data " + data: "No broker", "members --socket " + socket: "gossips with nobody",
		"top --once --data " + data: "up ", "conflicts --data " + data: "No conflicts", "tombstones --socket=" + socket: "gossips with nobody",
		"--data " + data + " brokers --json": `"total": 0`, "health --json --socket " + socket: `"node": "` + socket + `"`,
	} {
		if status, out, errs := run(strings.Fields(args)...); status != command.OK || !strings.Contains(out, want) || errs != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q", args, status, out, errs)
		}
	}
	stranger := filepath.Join(data, "epitaph-stranger.sock")
	listenAt(t, stranger)
	for args, want := range map[string]string{
		"brokers --data " + data:       "several nodes are on this machine",
		"brokers --socket " + stranger: stranger + " is no node's socket",
		"brokers --socket " + data:     "no node answers at " + data,
	} {
		if status, out, errs := run(strings.Fields(args)...); status != command.Failed || !strings.Contains(errs, want) || out != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q", args, status, out, errs)
		}
	}
	s.stop(t, syscall.SIGTERM)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is left behind")
	}
}

// health asks the port for brokers and clients when there is neither a socket nor HTTP: a node is there, and ready or not.
func TestHealthByPort(t *testing.T) {
	for option, want := range map[string]string{"needWaitForService=false": "ready (", "needWaitForService=true": "code 1: name server not ready"} {
		s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--socket", "/proc/none.sock", "--set", option)
		s.log.AwaitText(t, "no Unix socket for commands")
		var out, errs strings.Builder
		closed, err := net.Listen("tcp", "127.0.0.1:0")
		kit.Must(t, err)
		closed.Close()
		t.Setenv("EPITAPH_HTTP", closed.Addr().String())
		p := &program{stdout: &out, stderr: &errs, usual: []string{t.TempDir()}, environ: []string{"EPITAPH_LISTEN=" + s.addr}}
		status := p.main([]string{"epitaph", "health"})
		if !strings.Contains(out.String()+errs.String(), want) || (status == command.OK) != strings.HasPrefix(want, "ready") {
			t.Errorf("%s: status %d, %s%s", option, status, out.String(), errs.String())
		}
		if status, out, errs := run("health", "-n", s.addr); !strings.Contains(out+errs, want) {
			t.Errorf("%s, named: status %d, %s%s", option, status, out, errs)
		}
		s.stop(t, syscall.SIGTERM)
		out.Reset()
		errs.Reset()
		if status := p.main([]string{"epitaph", "health"}); status != command.Failed || !strings.Contains(errs.String(), "no node has its socket in") ||
			!strings.Contains(errs.String(), "no NameServer answers at "+s.addr) {
			t.Errorf("nobody there: status %d, %s", status, errs.String())
		}
	}
}
