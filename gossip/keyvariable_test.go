package gossip

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Keys of the environment are those of a file, and what is wrong with them is told with the variable.
func TestKeysOfTheEnvironment(t *testing.T) {
	const a, b = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAA=="
	for text, want := range map[string]int{a: 1, a + "," + b: 2, " " + a + "\n" + b + "\n": 2, "# comment\n" + a: 1, a + ",": 1} {
		if keys, err := ReadKeys(text); err != nil || len(keys) != want || len(keys[0]) != 32 {
			t.Errorf("%q: %d keys, %v", text, len(keys), err)
		}
	}
	file := filepath.Join(t.TempDir(), "keys")
	if _, err := GenerateKeyFile(file); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(file)
	kit.Must(t, err)
	if keys, err := ReadKeys(string(made) + a + "," + b); err != nil || len(keys) != 3 {
		t.Errorf("what keygen makes, and two more: %d keys, %v", len(keys), err)
	}
	for text, want := range map[string]string{
		"secret": "no base64", "AAAA": "want 16, 24 or 32", ",": "no key in it", strings.Repeat("x", maxKeyFile+1): fmt.Sprint(maxKeyFile),
	} {
		if _, err := ReadKeys(text); err == nil || !strings.Contains(err.Error(), KeyVariable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	cfg := DefaultConfig()
	cfg.Bind, cfg.Cluster, cfg.Name, cfg.Key = "10.0.0.1:7946", "c", "n", a
	kit.Must(t, cfg.Validate())
	cfg.KeyFile = "f"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "two places for the gossip keys") {
		t.Error(err)
	}
	cfg.KeyFile, cfg.Bind = "", "127.0.0.1:0"
	g, err := New(cfg, &fakeTables{})
	kit.Must(t, err)
	if keys := g.Keys(); len(keys) != 1 || g.ReloadKeys() != nil {
		t.Errorf("%v in use", keys)
	}
}
