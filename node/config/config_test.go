package config

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/node/properties"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// javaConfig is testdata/config_5.5.0.json; its note says what it holds.
type javaConfig struct {
	Config  string
	Listing []string
	Steps   []struct {
		Update  string
		Code    int
		Remark  string
		Changed []string
	}
}

func latin1(s string) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

func loadJava(t *testing.T) javaConfig {
	t.Helper()
	text, err := os.ReadFile("testdata/config_5.5.0.json")
	kit.Must(t, err)
	var j javaConfig
	kit.Must(t, json.Unmarshal(text, &j))
	return j
}

func javaSystem() System {
	return System{UserHome: "home", Properties: map[string]string{"rocketmq.home.dir": "/opt/rocketmq"}}
}

// fileConfig is the configuration of a NameServer started with -c on this text.
func fileConfig(t *testing.T, text []byte, store string) (Config, []*Fault, []string) {
	t.Helper()
	entries, err := properties.Parse(text)
	kit.Must(t, err)
	cfg := Default(javaSystem())
	faults, unknown := cfg.ApplyFile("ns.conf", entries)
	cfg.Options.ConfigStorePath = store
	return cfg, faults, unknown
}

func codeOf(err error) (code int, remark string) {
	switch {
	case err == nil:
		return 0, ""
	case errors.Is(err, ErrLocked), errors.Is(err, ErrReadOnly):
		return 16, err.Error()
	}
	return 1, err.Error()
}

// TestRuntimeAsJava replays what the released NameServer was asked and compares answers, listings and files.
func TestRuntimeAsJava(t *testing.T) {
	j := loadJava(t)
	store := filepath.Join(t.TempDir(), "ns.conf")
	kit.Must(t, os.WriteFile(store, latin1(j.Config), 0o600))
	cfg, _, _ := fileConfig(t, latin1(j.Config), store)
	r := NewRuntime(cfg, slog.New(slog.DiscardHandler))
	listing := func() []string { return strings.Split(strings.ReplaceAll(string(r.Listing()), store, "STORE"), "\n") }
	if diff := cmp.Diff(j.Listing, listing()); diff != "" {
		t.Fatalf("first listing (-Java +ours):\n%s", diff)
	}
	refused := 0 // DEV-18: what would not start again, or harm the node
	for _, step := range j.Steps {
		if strings.Contains(step.Update, "bindAddress=") || strings.Contains(step.Update, "enableControllerInNamesrv=true") ||
			strings.Contains(step.Update, "scanNotActiveBrokerInterval=99999999999") {
			refused++
			step.Code, step.Changed = 1, nil
			_, step.Remark = codeOf(r.Update(latin1(step.Update), Caller{}))
			if !strings.Contains(step.Remark, ": want ") && !strings.Contains(step.Remark, "no controller inside") {
				t.Errorf("%q: refused with %q", step.Update, step.Remark)
			}
		}
		before := listing()
		fileBefore, err := os.ReadFile(store)
		kit.Must(t, err)
		if code, remark := codeOf(r.Update(latin1(step.Update), Caller{Remote: "192.0.2.1:1", Source: "192.0.2.1"})); code != step.Code || remark != step.Remark {
			t.Errorf("%q: got %d %q, want %d %q", step.Update, code, remark, step.Code, step.Remark)
		}
		changed := slices.DeleteFunc(listing(), func(line string) bool { return slices.Contains(before, line) })
		if diff := cmp.Diff(step.Changed, changed); diff != "" && len(step.Changed)+len(changed) > 0 {
			t.Errorf("%q (-Java +ours):\n%s", step.Update, diff)
		}
		if step.Code != 0 || step.Update == "" {
			continue
		}
		file, err := os.ReadFile(store)
		kit.Must(t, err)
		entries, err := properties.Parse(file)
		kit.Must(t, err)
		stored := map[string]string{}
		for _, e := range entries {
			stored[e.Key] = e.Value
		}
		if diff := cmp.Diff(r.cfg.values(), stored); diff != "" {
			t.Errorf("%q: the file is not the listing (-listing +file):\n%s", step.Update, diff)
		}
		if bak, err := os.ReadFile(store + ".bak"); err != nil || string(bak) != string(fileBefore) {
			t.Errorf("%q: .bak is not the file before: %v", step.Update, err)
		}
	}
	if refused != 3 {
		t.Errorf("%d steps were refused, want 3", refused)
	}
}

func TestApplyFileTellsWhatTheOriginalHides(t *testing.T) {
	_, faults, unknown := fileConfig(t, []byte("enableTopicList=true \nwaitSecondsForService=47 \nlistenPort=x\n"+
		"supportActingMaster=yes\nEnableTopicList=true\nuseTLS=true\n"), "s")
	var got []string
	for _, f := range faults {
		got = append(got, f.Error())
	}
	want := []string{
		`ns.conf:1: enableTopicList="true ": blanks behind the value are part of it; remove them`,
		`ns.conf:2: waitSecondsForService="47 ": blanks behind the value are part of it; remove them`,
		`ns.conf:3: listenPort="x": want a whole number from -2147483648 to 2147483647`,
		`ns.conf:4: supportActingMaster="yes": want true or false`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"EnableTopicList"}, unknown); diff != "" {
		t.Error(diff)
	}
}

func TestReadOnlyConfig(t *testing.T) {
	cfg := Default(javaSystem())
	cfg.Options.ConfigStorePath = filepath.Join(t.TempDir(), "s")
	cfg.ReadOnlyConfig = true
	r := NewRuntime(cfg, slog.New(slog.DiscardHandler))
	if err := r.Update([]byte("enableTopicList=false"), Caller{Remote: "192.0.2.1:1", Source: "192.0.2.1"}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("got %v", err)
	}
	if !r.Options().EnableTopicList {
		t.Error("changed")
	}
}

// DEV-14: a line break in a value stays in the value: read at the next start, it must not be a further key, such as the paths that
// code 318 may not change (CVE-2023-37582).
func TestNoKeyIsSmuggledIntoTheFile(t *testing.T) {
	store := filepath.Join(t.TempDir(), "ns.conf")
	text := []byte("foo=1\nkvConfigPath=/kv.json\n")
	kit.Must(t, os.WriteFile(store, text, 0o600))
	cfg, _, _ := fileConfig(t, text, store)
	r := NewRuntime(cfg, slog.New(slog.DiscardHandler))
	for _, update := range []string{
		`productEnvName=x\nkvConfigPath=/etc/passwd`, `foo=x\nkvConfigPath=/etc/passwd`, `foo=x\rkvConfigPath=/etc/passwd`,
		`foo=x\u000akvConfigPath\=/etc/passwd`, `foo=x\\`, `foo=\u2028kvConfigPath=/etc/passwd`,
	} {
		if err := r.Update([]byte(update), Caller{Remote: "192.0.2.1:1", Source: "192.0.2.1"}); err != nil {
			t.Fatalf("%s: %v", update, err)
		}
		file, err := os.ReadFile(store)
		kit.Must(t, err)
		again, faults, _ := fileConfig(t, file, store)
		if again.Options.KVConfigPath != "/kv.json" || again.Extra["foo"] != r.cfg.Extra["foo"] || len(faults) != 0 ||
			again.Options.ProductEnvName != r.Options().ProductEnvName {
			t.Errorf("%s: read again, kvConfigPath is %q, foo %q, faults %v", update, again.Options.KVConfigPath, again.Extra["foo"], faults)
		}
	}
}

// A reader's snapshot stays as it was.
func TestOptionsSnapshotIsImmutable(t *testing.T) {
	cfg := Default(javaSystem())
	cfg.Options.ConfigStorePath = filepath.Join(t.TempDir(), "s")
	r := NewRuntime(cfg, slog.New(slog.DiscardHandler))
	before := r.Options()
	kit.Must(t, r.Update([]byte("waitSecondsForService=1"), Caller{Remote: "192.0.2.1:1", Source: "192.0.2.1"}))
	if before.WaitSecondsForService != 45 || r.Options().WaitSecondsForService != 1 {
		t.Errorf("before %d, now %d", before.WaitSecondsForService, r.Options().WaitSecondsForService)
	}
}

func TestValidateReportsAllFaults(t *testing.T) {
	cfg := Default(javaSystem())
	if err := cfg.Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for name, value := range map[string]string{
		"listenPort": "65536", "bindAddress": "1.2.3.4:5", "enableControllerInNamesrv": "true",
		"scanNotActiveBrokerInterval": "0", "kvConfigPath": "",
		"writeBufferHighWaterMark": "5", "writeBufferLowWaterMark": "6",
	} {
		kit.Must(t, cfg.Set("--set", name, value))
	}
	cfg.FrameMaxBytes = 1
	cfg.KVValueMax, cfg.KVStoreMax = 0, 256<<20+1
	cfg.TLS.TestMode, cfg.TLS.Mode = false, TLSEnforcing
	err := cfg.Validate()
	for _, want := range []string{
		`listenPort="65536": want a port`, `bindAddress="1.2.3.4:5": want a host`,
		`enableControllerInNamesrv="true"`, "mqcontroller", `scanNotActiveBrokerInterval="0"`,
		`kvConfigPath=""`, `writeBufferHighWaterMark="5"`, `frameMaxLength="1"`, `--kv-value-max="0"`, `--kv-store-max="268435457"`, `tls.server.keyPath=""`, `tls.server.certPath=""`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestSystemProperties(t *testing.T) {
	sys := System{Properties: map[string]string{
		"tls.server.mode": "enforcing", "tls.test.mode.enable": "FALSE", "tls.server.need.client.auth": "Require",
		"tls.server.keyPath": "k", "com.rocketmq.remoting.frameMaxLength": "8192",
		"com.rocketmq.remoting.socket.backlog": "5", "rocketmq.serialize.type": "ROCKETMQ",
	}}
	cfg := Default(sys)
	cfg.TLS.ApplyFile([]properties.Entry{
		{Key: "tls.server.keyPath", Value: "k2"}, {Key: "tls.server.mode", Value: "disabled"},
		{Key: "tls.server.authClient", Value: "true"},
	})
	cfg.TLS.given, cfg.TLS.told, cfg.TLS.faults = nil, nil, nil
	want := TLS{
		Mode: TLSEnforcing, KeyPath: "k2", AuthClient: true, ClientCert: ClientCertRequire,
		Client: TLSClient{Enable: true}, ConfigFile: DefaultTLSFile,
	}
	if diff := cmp.Diff(want, cfg.TLS, cmp.AllowUnexported(TLS{})); diff != "" {
		t.Error(diff)
	}
	if cfg.FrameMaxBytes != 8192 || cfg.Options.ServerSocketBacklog != 5 || !cfg.BinaryHeaders {
		t.Errorf("%d %d %v", cfg.FrameMaxBytes, cfg.Options.ServerSocketBacklog, cfg.BinaryHeaders)
	}
	bad := System{Properties: map[string]string{"com.rocketmq.remoting.socket.backlog": "x", "rocketmq.serialize.type": "json"}}
	if got := bad.Faults(); len(got) != 2 {
		t.Errorf("faults: %v", got)
	}
}

// The check leaves nothing behind but the directory.
func TestCheckDataDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	kit.Must(t, CheckDataDir(dir))
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}

// What a change could not replace is told, and nothing is made that a change would not make.
func TestCheckFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "file")
	if err := CheckFile(path); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(path, "no"), link); err != nil {
		t.Fatal(err)
	}
	if err := CheckFile(link); err != nil {
		t.Errorf("a link into a directory that can be written: %v", err)
	}
	for _, bad := range []string{path, "/proc/nowhere/file", "/proc/version"} {
		if err := CheckFile(bad); err == nil {
			t.Errorf("%s could be replaced", bad)
		}
	}
}

// An option that cannot be kept stays as it was, and one of the operator's own keys, too.
func TestUnpersistedUpdateChangesNothing(t *testing.T) {
	cfg := Default(javaSystem())
	cfg.Extra["extra"] = "before"
	cfg.Options.ConfigStorePath = "/proc/nowhere/file"
	var log strings.Builder
	r := NewRuntime(cfg, slog.New(slog.NewTextHandler(&log, nil)))
	before := string(r.Listing())
	if err := r.Update([]byte("waitSecondsForService=46\nextra=after"), Caller{Remote: "192.0.2.1:1", Source: "192.0.2.1"}); err == nil || !strings.Contains(err.Error(), "persist configuration") {
		t.Errorf("got %v", err)
	}
	if got := string(r.Listing()); got != before || r.Options().WaitSecondsForService == 46 {
		t.Errorf("changed to %s", got)
	}
	if !strings.Contains(log.String(), "level=ERROR") || strings.Contains(log.String(), "configuration changed") {
		t.Errorf("log: %s", log.String())
	}
}

func TestHTTPAddress(t *testing.T) {
	for addr, want := range map[string]string{"9886": "want HOST:PORT", "x:http": "want a port", "x:70000": "want a port"} {
		if err := checkListener("--http", addr, "127.0.0.1:9886"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// Of what the operator's files say, what is live is taken over at once, and everything else is named.
func TestReload(t *testing.T) {
	cfg := Default(System{Properties: map[string]string{}})
	cfg.Extra["gone"] = "1"
	r := NewRuntime(cfg, slog.New(slog.DiscardHandler))
	r.Bound(9999)
	next := Default(System{Properties: map[string]string{}})
	next.Extra["added"] = "2"
	var live, later []string
	for _, opt := range options {
		switch field := opt.field(&next.Options).(type) {
		case *string:
			*field += "x"
		case *bool:
			*field = !*field
		case *int32:
			*field++
		case *int64:
			*field++
		}
		if opt.live {
			live = append(live, opt.name)
		} else {
			later = append(later, opt.name)
		}
	}
	if got := r.Reload(&next); !slices.Equal(got, later) {
		t.Errorf("at the next start: %v, want %v", got, later)
	}
	for _, opt := range options {
		got, before, after := opt.text(r.Options()), opt.text(&cfg.Options), opt.text(&next.Options)
		if want := map[bool]string{true: after, false: before}[opt.live]; got != want && opt.name != "listenPort" {
			t.Errorf("%s is %s, was %s, and the file has %s", opt.name, got, before, after)
		}
	}
	if listing := string(r.Listing()); !strings.Contains(listing, "added=2") || strings.Contains(listing, "gone=") || !strings.Contains(listing, "listenPort=9999") {
		t.Errorf("%s", listing)
	}
	if len(live) != 12 {
		t.Errorf("live are %v", live)
	}
	next.Options.ListenPort = 0 // any free port, which the node has
	if got := r.Reload(&next); slices.Contains(got, "listenPort") {
		t.Errorf("%v", got)
	}
}
