package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// text is one tracked file that people read: everything but pictures, sums and what fuzzing found.
type text struct {
	path string // from the root
	body string
}

func (f text) isDoc() bool { return strings.HasSuffix(f.path, ".md") }

// isSpec says that f defines rules.
func (f text) isSpec() bool { return strings.HasPrefix(f.path, "docs/spec/") }

// isProof says that f is code or a test, or data of one: what carries out a rule or checks it.
func (f text) isProof() bool {
	if strings.HasPrefix(f.path, "test/house/") {
		return false // it names rules as examples
	}
	return strings.HasSuffix(f.path, ".go") || strings.Contains(f.path, "/testdata/") || strings.HasPrefix(f.path, "test/model/")
}

var unread = regexp.MustCompile(`\.(png|svg|sum|pem)$|/testdata/fuzz/`)

// tracked are the files that belong to the repository.
func tracked(t *testing.T) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Skipf("SKIPPED: only a checkout knows which files belong to it: git ls-files: %v", err)
	}
	return slices.DeleteFunc(strings.Split(string(out), "\x00"), func(name string) bool {
		_, err := os.Stat(root + "/" + name) // what was deleted may still be in the index
		return name == "" || err != nil
	})
}

func texts(t *testing.T) []text {
	t.Helper()
	var all []text
	for _, name := range tracked(t) {
		if unread.MatchString(name) {
			continue
		}
		body, err := os.ReadFile(root + "/" + name)
		kit.Must(t, err)
		all = append(all, text{path: name, body: string(body)})
	}
	return all
}

var (
	explicitAnchor  = regexp.MustCompile(`<a id="([^"]+)">`)
	markdownHeading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInSlug       = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// anchors are the places of a document that a reference may name: explicit ones, and headings as GitHub makes them.
func anchors(doc string) map[string]bool {
	found := map[string]bool{}
	for _, m := range explicitAnchor.FindAllStringSubmatch(doc, -1) {
		found[m[1]] = true
	}
	for _, m := range markdownHeading.FindAllStringSubmatch(outside(doc), -1) {
		slug := strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		found[slug] = true
	}
	return found
}

var (
	docPath      = regexp.MustCompile(`[\w./-]*\w\.md\b(#[\w-]+)?`)
	wholeLink    = regexp.MustCompile(`\[[^\]]*\]\([^)]*\)|https?://\S+`)
	markdownLink = regexp.MustCompile(`\]\(([^)\s:#]*)(#[^)\s]+)?\)`)
)

// Whatever names a document names one that is there, and a place in it that is there.
func TestReferencesLeadSomewhere(t *testing.T) {
	all := texts(t)
	places := map[string]map[string]bool{}
	exists := map[string]bool{}
	for _, name := range tracked(t) {
		for ; name != "."; name = path.Dir(name) {
			exists[name] = true
		}
	}
	for _, f := range all {
		if f.isDoc() {
			places[f.path] = anchors(f.body)
		}
	}
	check := func(f text, ref, anchor string, from ...string) {
		for _, dir := range from {
			target := path.Join(dir, ref)
			if ref == "" {
				target = f.path
			}
			if !exists[target] && target != "." {
				continue
			}
			if anchor != "" && !places[target][anchor[1:]] {
				t.Errorf("%s names %s%s: %s has no such place", f.path, ref, anchor, target)
			}
			return
		}
		t.Errorf("%s names %s, which does not exist", f.path, ref)
	}
	for _, f := range all {
		dir := path.Dir(f.path)
		if strings.HasSuffix(f.path, "method.md") {
			dir = "docs" // the text goes into a document there
		}
		body := f.body
		if f.isDoc() {
			body = outside(body)
			for _, m := range markdownLink.FindAllStringSubmatch(body, -1) {
				check(f, m[1], m[2], dir)
			}
			body = wholeLink.ReplaceAllString(body, "")
		}
		for _, at := range docPath.FindAllStringIndex(body, -1) {
			if at[0] > 0 && body[at[0]-1] == '"' {
				continue // a file that a program makes or reads
			}
			name, anchor, placed := strings.Cut(body[at[0]:at[1]], "#")
			if placed {
				anchor = "#" + anchor
			}
			if strings.HasPrefix(name, "docs/") || strings.HasPrefix(name, "../") || exists[path.Join(dir, name)] || exists[name] {
				check(f, name, anchor, ".", dir)
			} else if known := slices.IndexFunc(all, func(o text) bool { return path.Base(o.path) == name }); known >= 0 {
				t.Errorf("%s names %s: say where it is, %s", f.path, name, all[known].path)
			}
		}
	}
}

var (
	quotedPath = regexp.MustCompile("`(\\w[\\w.-]*/[\\w./-]*)`")
	goFile     = regexp.MustCompile(`[\w./-]*\w\.go\b`)
	goComment  = regexp.MustCompile(`(?m)//.*$`)
	// foreignFiles are those of memberlist and of rocketmq-client-go that somebody may want to look up.
	foreignFiles = []string{"internal/route.go", "label.go", "net.go", "security.go"}
)

// Whatever names a Go file, in a document or a comment, names one that is there: from the root, or beside it. So does what a
// document puts into backquotes, when it begins with a folder of ours.
func TestNamedFilesExist(t *testing.T) {
	exists, folders := map[string]bool{}, map[string]bool{}
	for _, name := range tracked(t) {
		if folder, _, deep := strings.Cut(name, "/"); deep {
			folders[folder] = true
		}
		for ; name != "."; name = path.Dir(name) {
			exists[name] = true
		}
	}
	for _, f := range texts(t) {
		said := []string{f.body}
		if strings.HasSuffix(f.path, ".go") {
			said = goComment.FindAllString(f.body, -1)
		} else if !f.isDoc() {
			continue
		}
		if f.isDoc() {
			for _, m := range quotedPath.FindAllStringSubmatch(f.body, -1) {
				name, _, _ := strings.Cut(strings.TrimSuffix(m[1], "/"), ".Test")
				if folder, _, _ := strings.Cut(name, "/"); folders[folder] && !exists[name] {
					t.Errorf("%s names %s, which does not exist", f.path, name)
				}
			}
		}
		for _, part := range said {
			for _, name := range goFile.FindAllString(part, -1) {
				if !exists[name] && !exists[path.Join(path.Dir(f.path), name)] && !slices.Contains(foreignFiles, name) {
					t.Errorf("%s names %s, which does not exist", f.path, name)
				}
			}
		}
	}
}

// A rule of the specification has a name of its own, which stands at its anchor: DEV-7 at dev-7, S-30 at s-30.
var ruleName = regexp.MustCompile(`\b(?:DEV|INV|S|V)-\d+\b`)

// rules are the names that the specification defines.
func rules(all []text) map[string]bool {
	defined := map[string]bool{}
	for _, f := range all {
		if f.isSpec() {
			for place := range anchors(f.body) {
				if name := strings.ToUpper(place); ruleName.FindString(name) == name {
					defined[name] = true
				}
			}
		}
	}
	return defined
}

// Every rule that anybody names is one of the specification, and every rule is named by code or a test.
func TestRulesAreKept(t *testing.T) {
	all := texts(t)
	defined := rules(all)
	if len(defined) < 60 {
		t.Fatalf("the specification has %d rules", len(defined))
	}
	kept := map[string]bool{}
	for _, f := range all {
		for _, name := range ruleName.FindAllString(f.body, -1) {
			if !defined[name] {
				t.Errorf("%s names %s, which docs/spec does not know", f.path, name)
			}
			kept[name] = kept[name] || f.isProof()
		}
	}
	for name := range defined {
		if !kept[name] {
			t.Errorf("no code and no test names %s", name)
		}
	}
}

// The request codes of the specification are the constants of package remoting.
func TestRequestCodesAreThoseOfTheSpecification(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), root+"/remoting/codes.go", nil, parser.ParseComments|parser.SkipObjectResolution)
	kit.Must(t, err)
	served := map[string]bool{}
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST || !strings.HasPrefix(block.Doc.Text(), "Request codes") {
			continue
		}
		for _, spec := range block.Specs {
			for _, value := range spec.(*ast.ValueSpec).Values {
				served[value.(*ast.BasicLit).Value] = true
			}
		}
	}
	doc, err := os.ReadFile(root + "/docs/spec/nameserver.md")
	kit.Must(t, err)
	listed := map[string]bool{}
	for place := range anchors(string(doc)) {
		code, ok := strings.CutPrefix(place, "code-")
		if _, err := strconv.Atoi(code); ok && err == nil {
			listed[code] = true
		}
	}
	if len(served) < 20 {
		t.Fatalf("remoting/codes.go has %d request codes", len(served))
	}
	for code := range served {
		if !listed[code] {
			t.Errorf("docs/spec/nameserver.md does not list code %s", code)
		}
	}
	for code := range listed {
		if !served[code] {
			t.Errorf("docs/spec/nameserver.md lists code %s, which remoting/codes.go does not know", code)
		}
	}
}

// outward are words that a reader who has nothing but this repository cannot follow.
var outward = regexp.MustCompile(`\.\./shared\b|(?i:\bcontract('s)?\b)|\bAppendix\b|\b[Cc]hapter\b|\b[Ss]ection \d`)

// Texts of licences speak of contracts and appendices of their own.
var licence = regexp.MustCompile(`(?i)licen[cs]e|notice`)

// Nothing leads out of the repository.
func TestNothingLeadsOutOfTheRepository(t *testing.T) {
	for _, f := range texts(t) {
		if f.isDoc() {
			for _, m := range markdownLink.FindAllStringSubmatch(f.body, -1) {
				if strings.HasPrefix(path.Join(path.Dir(f.path), m[1]), "..") {
					t.Errorf("%s: %s leads out of the repository", f.path, m[1])
				}
			}
		}
		if licence.MatchString(f.path) || strings.HasPrefix(f.path, "test/house/") { // which has words to look for
			continue
		}
		for _, at := range outward.FindAllStringIndex(f.body, -1) {
			begin := strings.LastIndexByte(f.body[:at[0]], '\n') + 1
			line, _, _ := strings.Cut(f.body[begin:], "\n")
			if !strings.Contains(line, "RFC ") {
				t.Errorf("%s: %q in %q leads out of the repository", f.path, f.body[at[0]:at[1]], strings.TrimSpace(line))
			}
		}
	}
}
