package node

import (
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/remoting"
)

func kvHeader(key, value string) map[string]string {
	return map[string]string{"namespace": "n", "key": key, "value": value}
}

// What is beyond a limit is refused in words that name the option, and changes nothing.
func TestKVLimits(t *testing.T) {
	c := dial(t, startNode(t, func(cfg *config.Config) { cfg.KVValueMax, cfg.KVStoreMax = 1000, 5000 }))
	put := func(key string, size int, refused string) {
		t.Helper()
		a := ask(t, c, remoting.PutKVConfig, kvHeader(key, strings.Repeat("v", size)), "")
		if refused == "" && a.Code != 0 || refused != "" && (a.Code != remoting.SystemError || !strings.Contains(a.Remark, refused)) {
			t.Errorf("%s, %d bytes: %d %s, want %q", key, size, a.Code, a.Remark, refused)
		}
	}
	put("k", 1000, "")
	put("k", 1001, "value: 1001 bytes, and --kv-value-max allows 1000")
	for i := range 3 {
		put(strconv.Itoa(i), 1000, "")
	}
	put("last", 1000, "--kv-store-max allows 5000")
	if a := ask(t, c, remoting.GetKVConfig, kvHeader("last", ""), ""); a.Code != remoting.QueryNotFound {
		t.Errorf("get: %d", a.Code)
	}
	if a := ask(t, c, remoting.DeleteKVConfig, kvHeader("0", ""), ""); a.Code != 0 {
		t.Errorf("delete: %d %s", a.Code, a.Remark)
	}
	put("last", 1000, "")
}

func TestKVStoreIsAPartOfTheMemory(t *testing.T) {
	for _, c := range []struct {
		given int
		share int64
		want  int
	}{{0, 0, 16 << 20}, {0, 128 << 20, 16 << 20}, {0, 8 << 20, 8 << 20}, {100 << 20, 8 << 20, 100 << 20}} {
		cfg := config.Config{KVStoreMax: c.given}
		cfg.Memory.KV = c.share
		if got := kvLimits(&cfg).Store; got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
