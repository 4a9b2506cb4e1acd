package packed

import (
	"strings"
	"testing"
)

func TestUnpack(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("licence ", 20_000)} {
		packed, err := Pack(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := packed.Unpack(); err != nil || got != text {
			t.Errorf("%d bytes, want %d; %v", len(got), len(text), err)
		}
	}
	if _, err := Text("no such thing").Unpack(); err == nil {
		t.Error("unpacked what was not packed")
	}
}
