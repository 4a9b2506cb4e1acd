package cli

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// The commands of a rolling replacement, and SIGTERM behind them: what was drained before counts.
func TestDrainCommands(t *testing.T) {
	data := t.TempDir()
	s := start(t, []string{gossip.KeyVariable + "=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		"epitaph", "serve", "--listen", "127.0.0.1:0", "--data", data, "--gossip", "127.0.0.1:0", "--cluster", "c", "--ready-after", "0s",
		"--drain-on-stop", "1h", "--drain-quiet", "100ms")
	if !strings.Contains(s.screen, "encrypted") || strings.Contains(s.screen, "NOT encrypted") {
		t.Errorf("the key of the environment is not used:\n%s", s.screen)
	}
	for _, c := range []struct {
		args, want string
		status     int
	}{
		{"addresses", "no address server (--address-server)", command.Failed},
		{"undrain", "draining no more", command.OK},
		{"safe-to-stop", "not safe to stop: no other node would be left that has held every broker", command.Failed},
		{"safe-to-stop --wait 1s", "not safe to stop: no other node would be left that has held every broker", command.Failed},
		{"safe-to-stop --json --ignore b --ignore c", `"safe": false`, command.Failed},
		{"safe-to-stop --wait -1s", "--wait=-1s: want a time of 0 or more", command.Usage},
		{"drain --wait=-5m", "--wait=-5m0s: want a time of 0 or more", command.Usage},
		{"drain", "draining: everybody is served as before", command.OK},
		{"health", "s; no client has asked for a route since)", command.Failed},
		{"members", "draining", command.OK},
		{"drain --wait 1h", "drained: no client has asked for a route for", command.OK},
		{"drain --wait 1h --json", `"quiet": true`, command.OK},
	} {
		args := append(strings.Fields(c.args), "--data", data)
		if status, out, errs := run(args...); status != c.status || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: status %d, %s%s, want %q", c.args, status, out, errs, c.want)
		}
	}
	s.stop(t, syscall.SIGTERM)
	s.log.AwaitText(t, "msg=drained")
}

// What was to be ignored is told to the node.
func TestSafeToStopIgnores(t *testing.T) {
	var asked url.Values
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query()
		_, err := w.Write([]byte(`{"safe":true,"settled":true,"reasons":[]}`))
		kit.Must(t, err)
	}))
	defer node.Close()
	status, out, errs := run("safe-to-stop", "-a", node.Listener.Addr().String(), "--ignore", "b", "--ignore", "c", "--ignore-kv")
	want := url.Values{"ignore": {"b", "c"}, "ignore_kv": {"true"}}
	if status != command.OK || !cmp.Equal(asked, want) || !strings.Contains(out, "has, but for what was to be ignored\n") {
		t.Errorf("status %d, %s%s, asked %v", status, out, errs, asked)
	}
}

// A second signal cuts a drain short.
func TestSecondSignalEndsADrain(t *testing.T) {
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--drain-on-stop", "1h", "--drain-quiet", "1h")
	kit.Must(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	s.log.AwaitText(t, `msg="draining: clients are to go elsewhere`)
	if !connects(s.addr) {
		t.Error("it serves no more")
	}
	s.stop(t, syscall.SIGTERM)
	s.log.AwaitText(t, `msg="drain cut short"`)
}

// A drain that is not quiet in time is told with who still asks, if anybody does.
func TestDrainThatIsNotQuiet(t *testing.T) {
	for answer, want := range map[string]string{
		`{"draining":true,"for_ms":2000,"unasked_ms":100,"quiet":false}`:  "clients still ask this node for routes, the last one 100ms ago",
		`{"draining":true,"for_ms":2000,"unasked_ms":2000,"quiet":false}`: "no client has asked this node for a route since the drain began, 2.0s ago",
	} {
		node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write([]byte(answer))
			kit.Must(t, err)
		}))
		status, out, errs := run("drain", "--wait", "1ms", "-a", strings.TrimPrefix(node.URL, "http://"))
		if status != command.Failed || !strings.Contains(errs, want) || out != "" {
			t.Errorf("status %d, %s%s, want %q", status, out, errs, want)
		}
		node.Close()
	}
}
