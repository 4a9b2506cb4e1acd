package mq

import (
	"strings"
	"testing"
)

func TestCut(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		strings.Repeat("a", 256):       strings.Repeat("a", 256),
		strings.Repeat("a", 257):       strings.Repeat("a", 256) + "… (257 bytes)",
		strings.Repeat("界", 85) + "ab": strings.Repeat("界", 85) + "a… (257 bytes)",
		strings.Repeat("界", 86):        strings.Repeat("界", 85) + "… (258 bytes)",
		strings.Repeat("\x80", 300):    strings.Repeat("\x80", 252) + "… (300 bytes)",
	} {
		if got := Cut(in); got != want {
			t.Errorf("%d bytes are cut to %q, want %q", len(in), got, want)
		}
	}
}
