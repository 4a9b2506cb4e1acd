package properties

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"unicode/utf16"
)

// Format writes key=value lines as MixAll.properties2String does for codes 318 and 319: sorted by key in the order of
// UTF-16 units, nothing escaped, a line feed behind every line, UTF-8.
func Format(table map[string]string) []byte {
	var out bytes.Buffer
	for _, key := range slices.SortedFunc(maps.Keys(table), compareUTF16) {
		out.WriteString(key)
		out.WriteByte('=')
		out.WriteString(table[key])
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// compareUTF16 orders as java.lang.String does. It differs from the order of Go only where characters beyond the
// basic plane meet U+E000 and up.
func compareUTF16(a, b string) int {
	if c := cmp.Compare(a, b); c == 0 || isASCII(a) && isASCII(b) {
		return c
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
