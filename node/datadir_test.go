package node

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
