package house

import (
	"path/filepath"
	"regexp"
	"testing"
)

// TestRequestsAreSpecified compares the codes that a node serves with the table in the specification, in which those that
// it sends have no pool.
func TestRequestsAreSpecified(t *testing.T) {
	numbers := pairs(`(?m)^\t(\w+) +int32 = (\d+)$`, read(t, filepath.Join(root, "remoting/codes.go")))
	served := map[string]string{} // number -> RocketMQ's name
	for constant, name := range pairs(`\{remoting\.(\w+), "(\w+)",`, read(t, filepath.Join(root, "node/requests.go"))) {
		served[numbers[constant]] = name
	}
	specified := pairs(`(?m)^\| <a id="code-\d+"></a>(\d+) \| (\w+) \| [a-z]+ \|`, read(t, filepath.Join(root, "docs/spec/nameserver.md")))
	if len(served) < 20 || len(specified) < 20 {
		t.Fatalf("found %d codes in node/requests.go and %d in docs/spec/nameserver.md: mend how this test looks for them", len(served), len(specified))
	}
	for code, name := range served {
		if specified[code] != name {
			t.Errorf("node/requests.go serves %s %s, docs/spec/nameserver.md says %q of it: CONTRIBUTING.md says what to write where", code, name, specified[code])
		}
	}
	for code, name := range specified {
		if served[code] == "" {
			t.Errorf("docs/spec/nameserver.md has a row for %s %s, which node/requests.go does not serve", code, name)
		}
	}
}

// pairs are the two groups of each match.
func pairs(expression, text string) map[string]string {
	found := map[string]string{}
	for _, match := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		found[match[1]] = match[2]
	}
	return found
}
