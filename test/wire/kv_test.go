package wire

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func listKV(namespace string) kit.Request {
	return kit.Request{Code: 219, Ext: map[string]string{"namespace": namespace}}
}

func deleteKV(namespace, key string) kit.Request {
	return kit.Request{Code: 102, Ext: map[string]string{"namespace": namespace, "key": key}}
}

func TestRow048KVRoundTrip(t *testing.T) {
	c := shared(t).dial(t)
	ns := unique("ns")
	c.putKV(ns, "a key", "a value; with=signs")
	c.putKV(ns, "clé", "ü€😀\u2028\t\"\\/")
	want(t, "plain", c.OK(getKV(ns, "a key")).ExtFields["value"], "a value; with=signs")
	a := c.OK(getKV(ns, "clé"))
	want(t, "hostile", a.ExtFields["value"], "ü€😀\u2028\t\"\\/")
	has(t, "raw header", a.Header, `{"value":"ü€😀`+"\u2028"+`\t\"\\/"}`)
	var list struct{ Table map[string]string }
	decode(t, c.OK(listKV(ns)), &list)
	if len(list.Table) != 2 || list.Table["clé"] != "ü€😀\u2028\t\"\\/" {
		t.Fatal(list)
	}
	c.OK(deleteKV(ns, "clé"))
	c.Refused(getKV(ns, "clé"), 22, "No config item, Namespace: "+ns+" Key: clé")
	want(t, "list", string(c.OK(listKV(ns)).Body), `{"table":{"a key":"a value; with=signs"}}`)
}

func TestRow049PutWithoutKey(t *testing.T) {
	c := shared(t).dial(t)
	for _, ext := range []map[string]string{nil, {}, {"namespace": "n", "value": "v"}, {"key": "k", "value": "v"}} {
		c.Refused(kit.Request{Code: 100, Ext: ext}, 1, "namespace or key is null")
	}
}

func TestRow049PutWithoutValue(t *testing.T) {
	c := shared(t).dial(t)
	ns := unique("ns")
	c.OK(kit.Request{Code: 100, Ext: map[string]string{"namespace": ns, "key": "k"}})
	c.Refused(getKV(ns, "k"), 22, "")
	want(t, "list", string(c.OK(listKV(ns)).Body), `{"table":{}}`)
	c.putKV(ns, "k", "")
	has(t, "empty value", c.OK(getKV(ns, "k")).Header, `"extFields":{"value":""}`)
	want(t, "list", string(c.OK(listKV(ns)).Body), `{"table":{"k":""}}`)
}

func TestRow050GetUnknown(t *testing.T) {
	c := shared(t).dial(t)
	ns := unique("ns")
	a := c.Refused(getKV(ns, "k"), 22, "No config item, Namespace: "+ns+" Key: k")
	has(t, "header", a.Header, `"extFields":{},`)
	c.putKV(ns, "other", "v")
	a = c.Refused(getKV(ns, "k"), 22, "No config item, Namespace: "+ns+" Key: k")
	has(t, "header", a.Header, `"extFields":{},`)
}

func TestRow051ListUnknownAndEmptied(t *testing.T) {
	c := shared(t).dial(t)
	ns := unique("ns")
	c.Refused(listKV(ns), 22, "No config item, Namespace: "+ns)
	c.putKV(ns, "k", "v")
	c.OK(deleteKV(ns, "k"))
	want(t, "emptied", string(c.OK(listKV(ns)).Body), `{"table":{}}`)
}

func TestRow052DeleteUnknown(t *testing.T) {
	c := shared(t).dial(t)
	ns := unique("ns")
	c.OK(deleteKV(ns, "k"))
	c.OK(kit.Request{Code: 102})
	c.Refused(listKV(ns), 22, "")
}

func TestRow053MissingArguments(t *testing.T) {
	c := shared(t).dial(t)
	c.Refused(kit.Request{Code: 101}, 22, "No config item, Namespace: null Key: null")
	c.Refused(kit.Request{Code: 101, Ext: map[string]string{"namespace": "x"}}, 22, "No config item, Namespace: x Key: null")
	c.Refused(kit.Request{Code: 219}, 22, "No config item, Namespace: null")
}

// wantFile compares a whole file.
func wantFile(t *testing.T, path, text string) {
	t.Helper()
	got, err := os.ReadFile(path)
	kit.Must(t, err)
	want(t, path, string(got), text)
}

func TestRow054KVFile(t *testing.T) {
	s := own(t, options{properties: map[string]string{}})
	c := s.dial(t)
	c.putKV("ns", "k", "v")
	wantFile(t, s.kv, `{"configTable":{"ns":{"k":"v"}}}`)
	c.putKV("ns", "k", "w\u2028é/")
	wantFile(t, s.kv, `{"configTable":{"ns":{"k":"w`+"\u2028"+`é/"}}}`)
	wantFile(t, s.kv+".bak", `{"configTable":{"ns":{"k":"v"}}}`)
	c.OK(deleteKV("ns", "k"))
	wantFile(t, s.kv, `{"configTable":{"ns":{}}}`)
	wantFile(t, s.kv+".bak", `{"configTable":{"ns":{"k":"w`+"\u2028"+`é/"}}}`)
	c.OK(deleteKV("unknown", "k"))
	wantFile(t, s.kv+".bak", `{"configTable":{"ns":{}}}`)
}

func TestRow054KVFileInNewDirectory(t *testing.T) {
	t.Parallel()
	kv := filepath.Join(t.TempDir(), "not", "yet", "kv.json")
	c := start(t, options{properties: map[string]string{"kvConfigPath": kv}}).dial(t)
	c.putKV("ns", "k", "v")
	wantFile(t, kv, `{"configTable":{"ns":{"k":"v"}}}`)
}

func TestRow055KVSurvivesRestart(t *testing.T) {
	s := own(t, options{})
	c := s.dial(t)
	c.putKV("ns", "k", "ü€😀")
	c.putKV("emptied", "k", "v")
	c.OK(deleteKV("emptied", "k"))
	c = s.restart(t).dial(t)
	want(t, "value", c.OK(getKV("ns", "k")).ExtFields["value"], "ü€😀")
	want(t, "emptied", string(c.OK(listKV("emptied")).Body), `{"table":{}}`)
}

func TestRow056KVFileAtStart(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", `{"configTable":{}}`, `{"configTable":{"n":{"k":"v"}},"more":[1]}`,
		"/* orders */ {'configTable':{'n':{'k':'\\x41\n'}} // in May\n,},"} {
		t.Run("good "+text, func(t *testing.T) {
			dir := t.TempDir()
			kit.Must(t, os.WriteFile(filepath.Join(dir, "kvConfig.json"), []byte(text), 0o644))
			c := own(t, options{dir: dir}).dial(t)
			if a := c.Call(getKV("n", "k")); (a.Code == 0) != (len(text) > 30) {
				t.Fatal(a)
			}
			c.putKV("x", "k", "v")
		})
	}
	for _, text := range []string{"{", "{}", "garbage", `{"configTable":null}`} {
		t.Run("bad "+text, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			kit.Must(t, os.WriteFile(filepath.Join(dir, "kvConfig.json"), []byte(text), 0o644))
			s := prepareServer(t, options{dir: dir})
			if status, err := s.Wait(60 * time.Second); err != nil || status != 255 {
				t.Fatalf("exit status %d, %v; want 255", status, err)
			}
			wantFile(t, s.kv, text) // nothing of the operator's file is lost
		})
	}
}
