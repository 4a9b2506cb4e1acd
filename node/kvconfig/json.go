package kvconfig

import (
	"maps"
	"slices"
	"unicode/utf8"
)

// encodeFile writes {"configTable":{"namespace":{"key":"value"}}} on one line without a final line feed. Java writes
// the maps in hash order; here they are sorted.
func encodeFile(t table) []byte {
	out := []byte(`{"configTable":{`)
	for i, namespace := range slices.Sorted(maps.Keys(t)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, namespace), ':')
		out = appendValues(out, t[namespace])
	}
	return append(out, "}}"...)
}

func encodeValues(values map[string]string) []byte {
	return append(appendValues([]byte(`{"table":`), values), '}')
}

func appendValues(out []byte, values map[string]string) []byte {
	out = append(out, '{')
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, key), ':')
		out = appendString(out, values[key])
	}
	return append(out, '}')
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string as fastjson2 does: only control characters, the quote and the backslash are
// escaped. Bytes that are no UTF-8 become U+FFFD.
func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r >= ' ':
			out = utf8.AppendRune(out, r)
		case r == '\b':
			out = append(out, `\b`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\f':
			out = append(out, `\f`...)
		case r == '\r':
			out = append(out, `\r`...)
		default:
			out = append(out, `\u00`...)
			out = append(out, hexDigits[r>>4], hexDigits[r&15])
		}
	}
	return append(out, '"')
}
