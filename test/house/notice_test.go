package house

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// root is the top of the repository, seen from here.
const root = "../.."

// mayBeLinked are the licences that a binary under Apache-2.0 may contain without a further question.
var mayBeLinked = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// paper is a file that must accompany the binary.
type paper struct {
	name, text string // NOTICE, LICENSE or the like; lines end with LF
	module     string // path and version, for instance "golang.org/x/sys v0.49.0", or the standard library
}

const standardLibrary = "Go's standard library"

// TestNotice holds NOTICE and THIRD_PARTY_LICENSES to what the server links in.
func TestNotice(t *testing.T) {
	papers := papersOfServer(t)
	kit.Golden(t, filepath.Join(root, "NOTICE"), notice(t, papers))
	kit.Golden(t, filepath.Join(root, "THIRD_PARTY_LICENSES"), thirdParty(papers))
	kit.Packed(t, filepath.Join(root, "THIRD_PARTY_LICENSES.gz"), thirdParty(papers))
	if t.Failed() {
		t.Log("run: make notice, and look at what changed")
	}
}

// papersOfServer collects the papers of every package that the server links in: those in its folder and in the
// folders above it, up to the module's. On Linux the server links in most; other systems leave out some of it.
func papersOfServer(t *testing.T) []paper {
	t.Helper()
	tags := regexp.MustCompile(`(?m)^TAGS +:= (\S+)$`).FindStringSubmatch(read(t, filepath.Join(root, "Makefile")))
	if tags == nil {
		t.Fatal("the Makefile has no TAGS: mend how this test reads them")
	}
	cmd := exec.Command("go", "list", "-deps", "-tags", tags[1], "-json=Dir,Module,Standard", ".")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var fault bytes.Buffer
	cmd.Stderr = &fault
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &fault)
	}
	papers := map[paper]bool{}
	bare := map[string]bool{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg struct {
			Dir      string
			Standard bool
			Module   *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if pkg.Standard || pkg.Module.Main {
			continue
		}
		module := pkg.Module.Path + " " + pkg.Module.Version
		found := false
		for dir := pkg.Dir; ; dir = filepath.Dir(dir) {
			for _, p := range papersIn(t, dir, module) {
				papers[p] = true
				found = found || isLicence(p)
			}
			if dir == pkg.Module.Dir {
				break
			}
		}
		if !found {
			bare[module] = true
		}
	}
	for module := range bare {
		t.Errorf("%s has no licence file: nobody may pass it on", module)
	}
	// The toolchain's own folder has no licence on every system; the Go project's licence is one text.
	for p := range maps.Clone(papers) {
		if strings.HasPrefix(p.module, "golang.org/x/") {
			papers[paper{p.name, p.text, standardLibrary}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(papers), func(a, b paper) int {
		return cmp.Or(cmp.Compare(a.module, b.module), cmp.Compare(a.name, b.name), cmp.Compare(a.text, b.text))
	})
}

var paperName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense|notice|patents)`)

func papersIn(t *testing.T, dir, module string) []paper {
	t.Helper()
	entries, err := os.ReadDir(dir)
	kit.Must(t, err)
	var found []paper
	for _, e := range entries {
		if paperName.MatchString(e.Name()) && e.Type().IsRegular() && path.Ext(e.Name()) != ".go" {
			name := strings.ToUpper(strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
			found = append(found, paper{name: name, text: read(t, filepath.Join(dir, e.Name())), module: module})
		}
	}
	return found
}

func isLicence(p paper) bool { return p.name != "NOTICE" && p.name != "PATENTS" }

// notice is the text of NOTICE.
func notice(t *testing.T, papers []paper) string {
	t.Helper()
	licences := map[string][]string{} // by module
	var carried strings.Builder
	for _, p := range papers {
		if p.name == "NOTICE" {
			fmt.Fprintf(&carried, "\n%s:\n\n%s\n", p.module, indent(p.text))
		}
		if !isLicence(p) {
			continue
		}
		scan := licensecheck.Scan([]byte(p.text))
		if len(scan.Match) == 0 || scan.Percent < 75 {
			t.Errorf("%s: what its %s says is no licence that is known", p.module, p.name)
		}
		for _, m := range scan.Match {
			if !slices.Contains(mayBeLinked, m.ID) {
				t.Errorf("%s is under %s: let somebody decide who knows what follows from that", p.module, m.ID)
			}
			if !slices.Contains(licences[p.module], m.ID) {
				licences[p.module] = append(licences[p.module], m.ID)
			}
		}
	}
	var list, mozilla strings.Builder
	for _, module := range slices.Sorted(maps.Keys(licences)) {
		ids := strings.Join(slices.Sorted(slices.Values(licences[module])), ", ")
		fmt.Fprintf(&list, "  %-26s %s\n", ids, module)
		if strings.Contains(ids, "MPL") {
			fmt.Fprintf(&mozilla, "  go mod download %s\n", strings.Replace(module, " ", "@", 1))
		}
	}
	return fmt.Sprintf(noticeText, &list, &mozilla, &carried)
}

const noticeText = `epitaph
Copyright 2026 The epitaph authors

Licensed under the Apache License, Version 2.0; its text is in LICENSE.


The program contains the following works of others, unchanged. The text of each licence is in
THIRD_PARTY_LICENSES; "epitaph licenses" prints it, too.

%s

Source code: each of these modules is served by Go's module mirrors under the path and version that stand
above, and has its repository at that path. For those under the Mozilla Public License 2.0 these commands
fetch the source code that this program was built from:

%s

Notices that some of these works carry:
%s`

// thirdParty is the text of THIRD_PARTY_LICENSES: each distinct text once, headed by whose it is.
func thirdParty(papers []paper) string {
	owners := map[string][]string{}
	var order []string
	for _, p := range papers {
		if p.name == "NOTICE" {
			continue
		}
		if owners[p.text] == nil {
			order = append(order, p.text)
		}
		if owner := "  " + p.module; !slices.Contains(owners[p.text], owner) {
			owners[p.text] = append(owners[p.text], owner)
		}
	}
	line := strings.Repeat("=", 80) + "\n"
	var out strings.Builder
	for _, text := range order {
		fmt.Fprintf(&out, "%s%s\n%s\n%s\n", line, strings.Join(owners[text], "\n"), line, text)
	}
	return out.String()
}

func indent(text string) string {
	return regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(strings.TrimSpace(text), "  $1")
}

// read returns a text file with LF at the ends of its lines.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	kit.Must(t, err)
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
