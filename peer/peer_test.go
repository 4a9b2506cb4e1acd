package peer

import (
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	for n, want := range map[int]bool{0: false, 1: true, MaxName: true, MaxName + 1: false} {
		if err := (Peer{Name: strings.Repeat("x", n)}).Valid(); (err == nil) != want {
			t.Errorf("a name of %d bytes: %v", n, err)
		}
	}
}
