package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// serve --check says what a start would say, and leaves nothing behind.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	bak := filepath.Join(dir, "lost", "kvConfig.json.bak")
	kit.Must(t, os.Mkdir(filepath.Dir(bak), 0o755))
	kit.Must(t, os.WriteFile(bak, []byte(`{"configTable":{"n":{"k":"v"}}}`), 0o600))
	wrong := filepath.Join(dir, "wrong.conf")
	kit.Must(t, os.WriteFile(wrong, []byte("listenPort=x\n"), 0o600))
	// What a change of options leaves when it is cut short, and what a disk or an editor may.
	lost := func(name, text, bak string) (conf string) {
		conf = filepath.Join(dir, name)
		if text != "absent" {
			kit.Must(t, os.WriteFile(conf, []byte(text), 0o600))
		}
		kit.Must(t, os.WriteFile(conf+".bak", []byte(bak), 0o600))
		return conf
	}
	torn, empty, absent := lost("torn.conf", "\x00ther=1\n", "other=1\n"), lost("empty.conf", "", "other=1\n"), lost("absent.conf", "absent", "other=1\n")
	grown := lost("grown.conf", "other=1\n\x00er=2\n", "other=1\n")
	key := filepath.Join(dir, "gossip.key")
	gossiping := []string{"--gossip", "0.0.0.0:7946", "--cluster", "c", "--gossip-key-file", key}
	// The port of a node that runs.
	s := start(t, nil, "epitaph", "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	defer s.stop(t, syscall.SIGTERM)
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--listen", s.addr}, command.OK, "The settings are right"},
		{append(gossiping, "--gossip-key-create"), command.OK, "The settings are right"},
		{gossiping, command.Usage, "epitaph keygen FILE makes one"},
		{[]string{"--gossip", "0.0.0.0:7946", "--cluster", "c", "--gossip-key-create"}, command.Usage, "needs --gossip-key-file FILE"},
		{[]string{"--config", wrong, "--log-level", "loud"}, command.Usage, "listenPort"},
		{[]string{"--config", torn}, command.Usage, "a write to it was cut short; the content before the last change is in " + torn + ".bak: put it back (cp -p "},
		{[]string{"--config", grown}, command.Usage, "a write to it was cut short"},
		{[]string{"--config", empty}, command.Usage, "it is empty; the content before the last change is in " + empty + ".bak"},
		{[]string{"--config", absent}, command.Usage, "put it back (cp -p " + absent + ".bak " + absent + ")"},
		{[]string{"--config", lost("none.conf", "", "")}, command.OK, "The settings are right"},
		{[]string{"--log-level", "loud"}, command.Usage, "want debug, info, warn or error"},
		{[]string{"--data", filepath.Dir(bak)}, command.Failed, "put it back (cp -p " + bak},
		{[]string{"--data", filepath.Dir(bak), "--kv-missing", "serve"}, command.OK, "The settings are right"},
		{[]string{"--json"}, command.OK, "\"ok\": true,\n  \"faults\": []\n"},
		{[]string{"--json", "--config", wrong, "--log-level", "loud"}, command.Usage, "\"ok\": false,\n  \"faults\": [\n    \"--log-level="},
		{[]string{"--json", "--data", filepath.Dir(bak)}, command.Failed, "\"ok\": false"},
		{[]string{"--json", "--check=false"}, command.Usage, "--json belongs to --check"},
	} {
		args := append([]string{"epitaph", "serve", "--check", "--data", filepath.Join(dir, "data")}, c.args...)
		var told strings.Builder
		p := &program{stdout: &told, stderr: &told, newNode: newNode}
		if status := p.main(args); status != c.status || !strings.Contains(told.String(), c.says) {
			t.Errorf("%v: status %d, want %d: %s", c.args, status, c.status, told.String())
		}
	}
	if _, err := os.Lstat(key); err == nil {
		t.Error("a check made the key file")
	}
	if !connects(s.addr) {
		t.Error("the node beside does not serve any more")
	}
}
