package properties

import "unicode/utf16"

// unescape resolves the escapes of a raw key or value; a letter without meaning stands for itself.
func unescape(raw []byte, line int) (string, error) {
	units := make([]uint16, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' || i+1 == len(raw) {
			units = append(units, uint16(c))
			continue
		}
		i++
		switch c = raw[i]; c {
		case 't':
			c = '\t'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 'f':
			c = '\f'
		case 'u':
			digits := raw[i+1 : min(i+5, len(raw))]
			u, ok := hex4(digits)
			if !ok {
				return "", &SyntaxError{Line: line, Escape: `\u` + latin1(digits)}
			}
			units = append(units, u)
			i += 4
			continue
		}
		units = append(units, uint16(c))
	}
	return toUTF8(units), nil
}

func hex4(digits []byte) (u uint16, ok bool) {
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			u = u<<4 | uint16(c-'0')
		case 'a' <= c && c <= 'f':
			u = u<<4 | uint16(c-'a'+10)
		case 'A' <= c && c <= 'F':
			u = u<<4 | uint16(c-'A'+10)
		default:
			return 0, false
		}
	}
	return u, len(digits) == 4
}

func latin1(b []byte) string {
	units := make([]uint16, len(b))
	for i, c := range b {
		units[i] = uint16(c)
	}
	return toUTF8(units)
}

// toUTF8 joins surrogate pairs; a lone half becomes '?', which is what Java writes for one.
func toUTF8(units []uint16) string {
	out := make([]rune, 0, len(units))
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			r = '?'
			if i+1 < len(units) {
				if pair := utf16.DecodeRune(rune(units[i]), rune(units[i+1])); pair != 0xFFFD {
					r = pair
					i++
				}
			}
		}
		out = append(out, r)
	}
	return string(out)
}
