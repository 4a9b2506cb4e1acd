package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryCodeIsDocumentedAndTried goes through the table of requests: each code has its row in the specification, its
// label in docs/metrics.md, and a test on the wire that sends it.
func TestEveryCodeIsDocumentedAndTried(t *testing.T) {
	served := regexp.MustCompile(`(?m)^\s*\{remoting\.(\w+),`).FindAllStringSubmatch(read(t, filepath.Join(root, "node/requests.go")), -1)
	if len(served) < 20 {
		t.Fatalf("found only %d codes in node/requests.go: mend how this test looks for them", len(served))
	}
	numbers := read(t, filepath.Join(root, "remoting/codes.go"))
	spec := read(t, filepath.Join(root, "docs/spec/nameserver.md"))
	metrics := read(t, filepath.Join(root, "docs/metrics.md"))
	sent := codesSent(t)
	for _, s := range served {
		number := regexp.MustCompile(`(?m)^\s*` + s[1] + `\s.*= (\d+)$`).FindStringSubmatch(numbers)
		if number == nil {
			t.Errorf("remoting/codes.go has no number for %s", s[1])
			continue
		}
		code := number[1]
		if !strings.Contains(spec, fmt.Sprintf(`| <a id="code-%s"></a>%s |`, code, code)) {
			t.Errorf("docs/spec/nameserver.md has no row for code %s, which node/requests.go serves", code)
		}
		if !strings.Contains(metrics, "`"+code+"`") {
			t.Errorf("docs/metrics.md does not name code %s at epitaph_requests_total", code)
		}
		if !sent[code] {
			t.Errorf("no test in test/wire sends code %s: add a row to docs/compat.md and its TestRow", code)
		}
	}
}

// codesSent are the numbers in the tests on the wire, one of which is each code that they send: as a number of its own, or
// in a header's text.
func codesSent(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "test/wire/*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in test/wire: %v", err)
	}
	inText := regexp.MustCompile(`"code":(\d+)`)
	sent := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			switch {
			case !ok:
			case lit.Kind == token.INT:
				sent[lit.Value] = true
			case lit.Kind == token.STRING:
				for _, m := range inText.FindAllStringSubmatch(lit.Value, -1) {
					sent[m[1]] = true
				}
			}
			return true
		})
	}
	return sent
}
