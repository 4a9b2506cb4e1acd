package properties

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"unicode/utf16"

	"github.com/epitaph-mq/epitaph/order"
)

// Format writes key=value lines as MixAll.properties2String does for codes 318 and 319: sorted by key in the order of
// UTF-16 units, nothing escaped, a line feed behind every line, UTF-8.
func Format(table map[string]string) []byte {
	var out bytes.Buffer
	for _, key := range order.Sorted(maps.Keys(table), compareUTF16) {
		out.WriteString(key)
		out.WriteByte('=')
		out.WriteString(table[key])
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// Store makes the text of a file: as Format, but with escapes, so that Parse reads back what was written. The original
// writes Format's text: a line break in a value, which code 318 can bring, becomes further keys at the next start, such as
// the paths that code 318 may not change (CVE-2023-37582), and a backslash is lost.
func Store(table map[string]string) []byte {
	var out []byte
	for _, key := range order.Sorted(maps.Keys(table), compareUTF16) {
		out = appendEscaped(out, key, true)
		out = append(out, '=')
		out = appendEscaped(out, table[key], false)
		out = append(out, '\n')
	}
	return out
}

func appendEscaped(out []byte, text string, key bool) []byte {
	for i, r := range text {
		switch {
		case r == '\\':
			out = append(out, `\\`...)
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r == '\f':
			out = append(out, `\f`...)
		case r == ' ' && (key || i == 0), key && (r == '=' || r == ':'), key && i == 0 && (r == '#' || r == '!'):
			out = append(out, '\\', byte(r))
		case r < ' ' || r > '~':
			for _, unit := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		default:
			out = append(out, byte(r))
		}
	}
	return out
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
