package wire

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

const (
	compatPath = "../../docs/compat.md"
	lastRow    = 171
	lastDevi   = 22
)

var (
	compatRow  = regexp.MustCompile(`^\| (?:\[(DEV)-)?(\d+)(?:\]\(spec/nameserver\.md#dev-\d+\))? \| (.+) \| (.*) \| (.*) \|$`)
	testNames  = regexp.MustCompile("`([^`]+)`")
	rowName    = regexp.MustCompile(`^TestRow(\d{3})[A-Z]`)
	deviName   = regexp.MustCompile(`^TestDeviation(\d{2})[A-Z]`)
	noTestText = regexp.MustCompile(`^cannot be had: \S+ \S+`)
)

// compatEntry is one row of a table of docs/compat.md.
type compatEntry struct {
	deviation bool
	number    int
	tests     []string // directory.TestName, as in testFunctions
	reason    string   // instead of tests
}

func (e compatEntry) String() string {
	if e.deviation {
		return fmt.Sprintf("DEV-%d", e.number)
	}
	return fmt.Sprintf("row %d", e.number)
}

func readCompat(t *testing.T) []compatEntry {
	t.Helper()
	text, err := os.ReadFile(compatPath)
	kit.Must(t, err)
	var entries []compatEntry
	for line := range strings.Lines(string(text)) {
		m := compatRow.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		e := compatEntry{deviation: m[1] != "", number: n, reason: m[4]}
		for _, name := range testNames.FindAllStringSubmatch(m[4], -1) {
			if !strings.Contains(name[1], ".") {
				name[1] = "test/wire." + name[1]
			}
			e.tests = append(e.tests, name[1])
		}
		entries = append(entries, e)
	}
	return entries
}

// testFunctions are the test functions of the whole module, each as directory.TestName.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	const root = "../.."
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				found[filepath.ToSlash(dir)+"."+f.Name.Name] = true
			}
		}
		return nil
	})
	kit.Must(t, err)
	return found
}

// docs/compat.md has every row and every deviation once, each with tests that exist or a reason why there is none.
func TestCompatTableIsComplete(t *testing.T) {
	functions := testFunctions(t)
	seen := map[string]int{}
	for _, e := range readCompat(t) {
		seen[e.String()]++
		if len(e.tests) == 0 && !noTestText.MatchString(e.reason) {
			t.Errorf("%s has neither a test nor a reason (\"cannot be had: why\")", e)
		}
		for _, name := range e.tests {
			if !functions[name] {
				t.Errorf("%s names %s, which does not exist", e, name)
			}
		}
	}
	var wanted []string
	for n := range lastRow {
		wanted = append(wanted, compatEntry{number: n + 1}.String())
	}
	for n := range lastDevi {
		wanted = append(wanted, compatEntry{deviation: true, number: n + 1}.String())
	}
	for _, entry := range wanted {
		if seen[entry] != 1 {
			t.Errorf("%s is listed %d times, want once", entry, seen[entry])
		}
		delete(seen, entry)
	}
	for entry := range seen {
		t.Errorf("%s is neither a row nor a deviation", entry)
	}
}

// Every test of this package is listed under the number that its name carries.
func TestCompatTableListsEveryTest(t *testing.T) {
	entries := readCompat(t)
	for name := range testFunctions(t) {
		short, ours := strings.CutPrefix(name, "test/wire.")
		if !ours || strings.HasPrefix(short, "TestCompat") {
			continue
		}
		entry := compatEntry{}
		if m := rowName.FindStringSubmatch(short); m != nil {
			entry.number, _ = strconv.Atoi(m[1])
		} else if m := deviName.FindStringSubmatch(short); m != nil {
			entry.deviation = true
			entry.number, _ = strconv.Atoi(m[1])
		} else {
			t.Errorf("%s is named neither TestRowNNN... nor TestDeviationNN...", name)
			continue
		}
		listed := slices.ContainsFunc(entries, func(e compatEntry) bool {
			return e.String() == entry.String() && slices.Contains(e.tests, name)
		})
		if !listed {
			t.Errorf("%s is not listed under %s", name, entry)
		}
	}
}
