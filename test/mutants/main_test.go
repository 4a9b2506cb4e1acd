package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A fault whose place has moved tests nothing any more.
func TestFaultsHaveTheirPlaces(t *testing.T) {
	text, err := os.ReadFile("faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	faults, err := parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range faults {
		name, _, _ := strings.Cut(f.name, " ")
		if names[name] {
			t.Errorf("%s: another fault has the name %s", f.name, name)
		}
		names[name] = true
		source, err := os.ReadFile(filepath.Join("../..", f.file))
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		if text, found := f.mutated(string(source)); found != 1 || text == string(source) {
			t.Errorf("%s: its lines stand %d times in %s", f.name, found, f.file)
		}
	}
}

// Two blocks that a merge has put together are no fault with two names.
func TestBlocksStandApart(t *testing.T) {
	const one, other = "# A1 one\n@ f.go\n! .\n- x\n+ y\n", "# A2 other\n@ g.go\n! .\n- x\n"
	if faults, err := parse(one + "\n" + other); err != nil || len(faults) != 2 {
		t.Errorf("%+v, %v", faults, err)
	}
	if _, err := parse(one + other); err == nil || !strings.Contains(err.Error(), "a blank line is missing") {
		t.Errorf("%v", err)
	}
}
