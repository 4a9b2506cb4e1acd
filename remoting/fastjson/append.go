package fastjson

import "unicode/utf8"

// AppendString appends a string in double quotes. Control characters below 0x20, " and \ are escaped, with
// lower-case hexadecimal; everything else stands for itself. Bytes that are no UTF-8 become U+FFFD.
func AppendString[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	run := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := decodeRune(text, i)
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, text[run:i]...)
				dst = append(dst, "\uFFFD"...)
				run = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, text[run:i]...)
		dst = appendEscape(dst, c)
		i++
		run = i
	}
	return append(append(dst, text[run:]...), '"')
}

func decodeRune[T string | []byte](text T, i int) (rune, int) {
	end := min(len(text), i+utf8.UTFMax)
	var window [utf8.UTFMax]byte
	n := copy(window[:], text[i:end])
	return utf8.DecodeRune(window[:n])
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
