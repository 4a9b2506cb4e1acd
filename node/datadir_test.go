package node

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/node/admin"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// A node refuses to start where a store was lost, and as the original it starts empty and warns.
func TestLostKVConfig(t *testing.T) {
	dir := t.TempDir()
	kit.Must(t, os.WriteFile(filepath.Join(dir, "kvConfig.json.bak"), []byte(`{"configTable":{"n":{"k":"v"}}}`), 0o600))
	var log bytes.Buffer
	cfg := config.Default(config.System{UserHome: t.TempDir()})
	cfg.UseDataDir(dir)
	if _, err := New(cfg, slog.New(slog.NewTextHandler(&log, nil))); err == nil || !strings.Contains(err.Error(), "cp -p") {
		t.Errorf("got %v", err)
	}
	cfg.KVAsOriginal = true
	if _, err := New(cfg, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "kv config starts empty, as the original's does") || !strings.Contains(log.String(), "kvConfig.json.bak") {
		t.Errorf("log: %s", log.String())
	}
	kit.Must(t, os.WriteFile(filepath.Join(dir, "kvConfig.json"), []byte("{"), 0o600))
	if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("as the original, it starts with a file that is no KV configuration")
	}
}

// An empty directory in the file's place is as an absent file, and the log says how it came.
func TestDirectoryInPlaceOfKVConfig(t *testing.T) {
	dir := t.TempDir()
	kit.Must(t, os.Mkdir(filepath.Join(dir, "kvConfig.json"), 0o700))
	var log bytes.Buffer
	cfg := config.Default(config.System{UserHome: t.TempDir()})
	cfg.UseDataDir(dir)
	if _, err := New(cfg, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "Docker makes one") {
		t.Errorf("log: %s", log.String())
	}
}

// A data directory that cannot be written is told at the start with the remedy; the node serves all the same, and
// refuses what it cannot keep. A file in the directory's place stops even root.
func TestDataDirNotWritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	kit.Must(t, os.WriteFile(file, nil, 0o600))
	var log bytes.Buffer
	cfg := config.Default(config.System{UserHome: t.TempDir()})
	cfg.Options.BindAddress, cfg.Options.ListenPort = "127.0.0.1", 0
	cfg.UseDataDir(filepath.Join(file, "data"))
	n, err := New(cfg, slog.New(slog.NewTextHandler(&log, nil)))
	kit.Must(t, err)
	kit.Must(t, n.Start(t.Context()))
	c := dial(t, n)
	a := ask(t, c, remoting.PutKVConfig, map[string]string{"namespace": "N", "key": "k", "value": "v"}, "")
	if a.Code != remoting.SystemError || !strings.Contains(a.Remark, file) {
		t.Errorf("a value that cannot be kept: %d %s", a.Code, a.Remark)
	}
	if a := ask(t, c, remoting.GetKVConfig, map[string]string{"namespace": "N", "key": "k"}, ""); a.Code != remoting.QueryNotFound {
		t.Errorf("a value that was refused is there: %d", a.Code)
	}
	if a := ask(t, c, remoting.UpdateNamesrvConfig, nil, "waitSecondsForService=46"); a.Code != remoting.SystemError || !strings.Contains(a.Remark, file) {
		t.Errorf("an option that cannot be kept: %d %s", a.Code, a.Remark)
	}
	if got := n.Runtime().Options().WaitSecondsForService; got != 45 {
		t.Errorf("an option that was refused is %d", got)
	}
	if a := ask(t, c, remoting.RegisterBroker, brokerHeader("0"), twoTopics); a.Code != remoting.Success {
		t.Errorf("register: %d %s", a.Code, a.Remark)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"KV values cannot be kept", "options cannot be kept", "make the directory writable", file} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log: %s", want, log.String())
		}
	}
}

// With --kv-missing=serve routes are served; KV requests are answered with code 1 and the reason, and the files stay as they
// are. Whatever the fault, the node says so wherever it is asked.
func TestServeWithoutKV(t *testing.T) {
	for name, damage := range map[string]map[string]string{
		"absent beside a .bak": {"kvConfig.json.bak": `{"configTable":{"n":{"k":"v"}}}`},
		"empty beside a .bak":  {"kvConfig.json": "", "kvConfig.json.bak": `{"configTable":{"n":{"k":"v"}}}`},
		"torn":                 {"kvConfig.json": `{"configTable":{"n":`},
	} {
		dir := t.TempDir()
		for file, text := range damage {
			kit.Must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
		}
		before := filesOf(t, dir)
		book := &kit.Log{}
		n := startNodeTo(t, slog.NewTextHandler(book, nil), func(c *config.Config) {
			withHTTP(c)
			c.UseDataDir(dir)
			c.Options.ConfigStorePath = filepath.Join(t.TempDir(), "namesrv.properties")
			c.KVServeMissing = true
		})
		c := dial(t, n)
		kv := map[string]string{"namespace": "n", "key": "k", "value": "w"}
		for _, code := range []int32{remoting.PutKVConfig, remoting.GetKVConfig, remoting.DeleteKVConfig, remoting.GetKVListByNamespace} {
			if a := ask(t, c, code, kv, ""); a.Code != remoting.SystemError || !strings.Contains(a.Remark, "kv: missing") || !strings.Contains(a.Remark, dir) {
				t.Errorf("%s: code %d is answered with %d, %s", name, code, a.Code, a.Remark)
			}
		}
		ask(t, c, remoting.RegisterBroker, brokerHeader("0"), twoTopics)
		if a := ask(t, c, remoting.GetRouteInfoByTopic, map[string]string{"topic": "TA"}, ""); a.Code != remoting.Success {
			t.Errorf("%s: a route: %d %s", name, a.Code, a.Remark)
		}
		if status, body := get(t, n, "/readyz"); status != 200 || body != "ready; kv: missing\n" {
			t.Errorf("%s: /readyz: %d %q", name, status, body)
		}
		if _, body := get(t, n, "/metrics"); !strings.Contains(body, "\nepitaph_kv_missing 1\n") {
			t.Errorf("%s: the metric does not say so", name)
		}
		if _, body := get(t, n, "/v1/members"); !strings.Contains(body, `"kv":"missing"`) {
			t.Errorf("%s: /v1/members: %s", name, body)
		}
		if n.KVFault() == nil || !strings.Contains(book.String(), "level=WARN") {
			t.Errorf("%s: the log: %s", name, book)
		}
		kit.Must(t, n.Stop(t.Context()))
		if diff := cmp.Diff(before, filesOf(t, dir)); diff != "" {
			t.Errorf("%s: something was written: %s", name, diff)
		}
	}
}

func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	kit.Must(t, err)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		kit.Must(t, err)
		all[e.Name()] = string(text)
	}
	return all
}

// The others see in the list of members who serves without its KV store.
func TestMembersTellOfMissingKV(t *testing.T) {
	dir := t.TempDir()
	kit.Must(t, os.WriteFile(filepath.Join(dir, "kvConfig.json.bak"), []byte("{}"), 0o600))
	first := true
	nodes := startClusterWith(t, 2, func(c *config.Config) {
		if first {
			c.UseDataDir(dir)
			c.KVServeMissing, first = true, false
		}
	})
	for _, n := range nodes {
		kit.Until(t, "the list of members to tell", func() bool {
			told := map[string]string{}
			for _, m := range admin.Members(view{n}).Members {
				told[m.Name] = m.KV
			}
			return cmp.Equal(told, map[string]string{"n1": "missing", "n2": ""})
		})
	}
}

// Of two nodes with one directory the first has the store; the second is told whose it is, changes nothing, and has it when
// the first one ends. As the original both write.
func TestSharedDataDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shared := func(c *config.Config) { c.UseDataDir(dir) }
	kv := func(value string) map[string]string {
		return map[string]string{"namespace": "N", "key": "k", "value": value}
	}
	first := startNode(t, shared)
	ask(t, dial(t, first), remoting.PutKVConfig, kv("v1"), "")
	book := &kit.Log{}
	second := startNodeTo(t, slog.NewTextHandler(book, nil), shared)
	c := dial(t, second)
	if a := ask(t, c, remoting.GetKVConfig, kv(""), ""); a.Ext["value"] != "v1" {
		t.Errorf("the value is not served: %+v", a)
	}
	for _, code := range []int32{remoting.PutKVConfig, remoting.DeleteKVConfig, remoting.UpdateNamesrvConfig} {
		a := ask(t, c, code, kv("v2"), "waitSecondsForService=46")
		if a.Code != remoting.SystemError || !strings.Contains(a.Remark, first.Addr().String()) || !strings.Contains(a.Remark, "--data of its own") &&
			!strings.Contains(a.Remark, "its own --data") {
			t.Errorf("code %d at the second: %d %s", code, a.Code, a.Remark)
		}
	}
	if second.KVFault() == nil || second.OptionsFault() == nil {
		t.Error("the first screen is not told that changes are refused")
	}
	if text := book.String(); !strings.Contains(text, "belongs to another node") || !strings.Contains(text, first.Addr().String()) {
		t.Errorf("log: %s", text)
	}
	original := startNode(t, func(c *config.Config) {
		shared(c)
		c.KVAsOriginal = true
	})
	if a := ask(t, dial(t, original), remoting.PutKVConfig, kv("v3"), ""); a.Code != remoting.Success {
		t.Errorf("as the original: %d %s", a.Code, a.Remark)
	}
	kit.Must(t, first.Stop(t.Context()))
	book.AwaitText(t, "KV store is this node's now")
	if a := ask(t, c, remoting.GetKVConfig, kv(""), ""); a.Ext["value"] != "v3" {
		t.Errorf("what was written meanwhile is not served: %+v", a)
	}
	if a := ask(t, c, remoting.PutKVConfig, kv("v4"), ""); a.Code != remoting.Success {
		t.Errorf("after the first one ended: %d %s", a.Code, a.Remark)
	}
	if a := ask(t, c, remoting.UpdateNamesrvConfig, nil, "waitSecondsForService=46"); a.Code != remoting.Success {
		t.Errorf("an option: %d %s", a.Code, a.Remark)
	}
	if second.OptionsFault() != nil {
		t.Errorf("changes are still said to be refused: %v", second.OptionsFault())
	}
	kit.Must(t, second.Stop(t.Context()))
	if left := filesOf(t, dir); left["kvConfig.json.lock"] != "" || !strings.Contains(left["kvConfig.json"], "v4") {
		t.Errorf("left: %v", left)
	}
}

// A node whose socket is another one's has its own as soon as that one ends: commands find every node.
func TestSocketOfANodeThatEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	at := func(c *config.Config) { c.Socket = path }
	first, second := startNode(t, at), startNode(t, at)
	if first.Socket() != path || second.Socket() != "" {
		t.Fatalf("the first is at %q, the second at %q", first.Socket(), second.Socket())
	}
	kit.Must(t, first.Stop(t.Context()))
	kit.Until(t, "the second one's socket", func() bool { return second.Socket() == path })
}
