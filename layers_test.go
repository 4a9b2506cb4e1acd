package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

const module = "github.com/epitaph-mq/epitaph"

// allowed is the layering: which package of ours may import which others of ours. What is not listed is
// forbidden, and a package that is not listed at all fails the test, so that nobody adds a room unseen.
// Packages below test/ may import anything.
var allowed = map[string][]string{
	"api":               {"packed"},
	"clock":             {},
	"mq":                {},
	"nearest":           {},
	"order":             {},
	"packed":            {},
	"remoting":          {"mq", "remoting/fastjson"},
	"remoting/body":     {"mq", "remoting/fastjson", "order"},
	"remoting/fastjson": {},
	"node/properties":   {"order"},
	"node/atomicfile":   {},
	"node/config":       {"clock", "gossip", "mq", "nearest", "routes", "node/atomicfile", "node/kvconfig", "node/memory", "node/properties", "order"},
	"node/lockfile":     {},
	"node/memory":       {},
	"node/kvconfig":     {"node/atomicfile", "remoting/fastjson"},
	"peer":              {},
	"nonce":             {"clock"},
	"hold":              {"clock"},
	"tombstone":         {"clock", "hold", "nonce", "peer", "order"},
	"vanish":            {"clock", "hold", "nonce", "peer", "order"},
	"remoting/pemkey":   {},
	"remoting/rpc":      {"clock", "mq", "remoting", "remoting/pemkey"},
	"routes":            {"clock", "mq", "tombstone", "order"},
	"digest":            {"clock", "mq", "tombstone", "order"},
	"gossip":            {"clock", "mq", "tombstone", "vanish", "digest", "gossip/sockets", "order"},
	"gossip/sockets":    {},
	"gossip/impair":     {"gossip/sockets"},
	"cluster":           {"api", "mq", "node", "node/config", "node/memory", "node/played", "node/vanished", "gossip", "remoting", "remoting/body", "remoting/rpc", "order"},
	"survey":            {"mq", "node/properties", "remoting", "remoting/body", "remoting/fastjson", "remoting/rpc", "order"},
	"node/readiness":    {"clock", "digest"},
	"node/addresses":    {"clock", "digest", "gossip", "order"},
	"node/connect":      {},
	"node/door":         {},
	"node/addrserver":   {"clock", "gossip", "node/addresses", "node/atomicfile", "node/door", "node/lockfile", "remoting", "remoting/rpc", "order"},
	"node/departures":   {"clock", "tombstone", "gossip", "remoting/rpc", "routes"},
	"node/vanished":     {"clock", "mq", "tombstone", "vanish", "gossip", "remoting/rpc", "routes", "node/connect"},
	"node/played":       {"node/connect", "node/vanished", "remoting/rpc"},
	"node/divergence":   {"clock", "digest", "mq", "tombstone", "vanish", "gossip", "routes", "node/config", "node/kvconfig", "node/vanished", "order"},
	"node/admin":        {"api", "clock", "mq", "tombstone", "digest", "gossip", "remoting", "remoting/rpc", "routes", "node/addresses", "node/departures", "node/divergence", "node/door", "node/lockfile", "node/vanished", "vanish", "order"},
	"node":              {"api", "clock", "mq", "tombstone", "vanish", "digest", "remoting", "remoting/body", "remoting/rpc", "routes", "gossip", "node/config", "node/kvconfig", "node/readiness", "node/addresses", "node/addrserver", "node/departures", "node/connect", "node/divergence", "node/vanished", "node/admin", "node/atomicfile", "node/lockfile"},
	"bench":             {"cli/screen", "clock", "mq", "tombstone", "remoting", "remoting/body", "remoting/rpc", "routes", "vanish", "node", "node/config", "node/played", "node/vanished", "gossip", "gossip/impair"},
	"cli":               {"api", "cli/command", "cli/output", "cli/screen", "cli/systemd", "mq", "node", "node/config", "node/memory", "node/properties", "cluster", "gossip", "remoting", "remoting/body", "remoting/rpc", "survey", "order"},
	"cli/command":       {"cli/screen", "nearest"},
	"cli/output":        {},
	"cli/screen":        {},
	"cli/systemd":       {},
	".":                 {"cli", "packed"},

	"bench/cmd/epitaph-bench": {"bench", "cli/command"},
}

// doors says which packages may import an outside library (by prefix): one door for each.
var doors = map[string][]string{
	"github.com/urfave/cli/v2":                {"cli/command"},
	"github.com/KimMachineGun/automemlimit":   {"node/memory"},
	"github.com/hashicorp/memberlist":         {"gossip", "gossip/sockets", "gossip/impair"},
	"github.com/hashicorp/go-msgpack/v2":      {"gossip"},
	"github.com/hashicorp/go-metrics":         {"gossip", "gossip/sockets", "node/admin"},
	"github.com/hashicorp/go-sockaddr":        {"gossip/sockets"},
	"github.com/armon/go-metrics":             {"gossip", "node/admin"},
	"github.com/prometheus/client_golang":     {"node/admin"},
	"gonum.org/v1/plot":                       {"bench"},
	"github.com/HdrHistogram/hdrhistogram-go": {"bench"},
	"github.com/google/pprof":                 {"bench"},
	"golang.org/x/time/rate":                  {"digest", "node", "node/admin", "node/departures", "node/door", "gossip", "gossip/sockets", "tombstone", "vanish", "remoting/rpc", "survey"},
	"golang.org/x/net":                        {},
	"golang.org/x/sync":                       {"bench"},
	"github.com/puzpuzpuz/xsync/v4":           {"routes"},
	"github.com/getkin/kin-openapi":           {},
	"golang.org/x/crypto":                     {"remoting/pemkey"},
	"golang.org/x/term":                       {"cli"},
	"github.com/cespare/xxhash/v2":            {"routes", "digest"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		all = append(all, p)
	}
}

func relative(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func TestLayers(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		rel := relative(p.ImportPath)
		seen[rel] = true
		if strings.HasPrefix(rel, "test/") || strings.Contains(rel, "/internal/") {
			continue
		}
		may, known := allowed[rel]
		if !known {
			t.Errorf("package %s is not in the layering table: add it with the imports it may have, and a row in docs/architecture.md", rel)
			continue
		}
		for _, imp := range p.Imports {
			if own, ok := strings.CutPrefix(imp, module+"/"); ok && !slices.Contains(may, own) {
				t.Errorf("%s must not import %s", rel, own)
			}
			for lib, who := range doors {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !slices.Contains(who, rel) {
					t.Errorf("%s must not import %s: its door is %v", rel, lib, who)
				}
			}
		}
	}
	for rel := range allowed {
		if !seen[rel] {
			t.Errorf("the layering table lists %s, which does not exist", rel)
		}
	}
}

// maxModules is how many outside modules the server may link in.
const maxModules = 30

// docs/dependencies.md is the reviewed list of them.
func TestDependencies(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	kit.Must(t, err)
	tags := regexp.MustCompile(`(?m)^TAGS +:= (\S+)$`).FindSubmatch(makefile)
	if tags == nil {
		t.Fatal("the Makefile has no TAGS")
	}
	list := exec.Command("go", "list", "-deps", "-tags", string(tags[1]), "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	linked := slices.DeleteFunc(strings.Fields(string(out)), func(m string) bool { return m == module })
	slices.Sort(linked)
	linked = slices.Compact(linked)
	text, err := os.ReadFile("docs/dependencies.md")
	kit.Must(t, err)
	var named []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\S+)` \\|").FindAllSubmatch(text, -1) {
		named = append(named, string(row[1]))
	}
	for _, m := range linked {
		if !slices.Contains(named, m) {
			t.Errorf("the server links in %s: do without it, or add a line with its reason to docs/dependencies.md", m)
		}
	}
	for _, m := range named {
		if !slices.Contains(linked, m) {
			t.Errorf("docs/dependencies.md names %s, which the server does not link in: remove the line", m)
		}
	}
	if len(linked) > maxModules {
		t.Errorf("the server links in %d outside modules, and %d are allowed: do without one", len(linked), maxModules)
	}
}
