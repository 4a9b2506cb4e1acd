package cli

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mappedFileKB is the resident memory that belongs to files, by /proc/self/status.
func mappedFileKB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return kb
		}
	}
	t.Skip("SKIPPED: this kernel does not tell RssFile")
	return 0
}

func TestUnmapProgram(t *testing.T) {
	if err := adviseProgram(unix.MADV_POPULATE_READ); err != nil {
		t.Skip("SKIPPED: this kernel cannot map a whole file beforehand:", err)
	}
	before := mappedFileKB(t)
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	if after := mappedFileKB(t); after >= before*2/3 {
		t.Errorf("resident pages of files: %d kB, before %d", after, before)
	}
}

func TestMappingOf(t *testing.T) {
	for line, want := range map[string]mapping{
		"00400000-00c5a000 r-xp 00000000 fd:00 42       /usr/bin/epitaph": {0x400000, 0xc5a000, "r-xp"},
		"7ffe82c18000-7ffe82c39000 rw-p 00000000 00:00 0  [stack]":        {0x7ffe82c18000, 0x7ffe82c39000, "rw-p"},
		"Anonymous:             0 kB":                                     {},
		"VmFlags: rd ex mr mw-me":                                         {},
	} {
		if got, ok := mappingOf(line); ok != (want != mapping{}) || got != want {
			t.Errorf("%q: got %v %v, want %v", line, got, ok, want)
		}
	}
}
