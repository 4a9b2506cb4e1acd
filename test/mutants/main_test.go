package main

import (
	"os"
	"path/filepath"
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
		if names[f.name] {
			t.Errorf("%s: stands there twice", f.name)
		}
		names[f.name] = true
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
