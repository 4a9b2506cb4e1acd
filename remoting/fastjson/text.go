package fastjson

import (
	"bytes"
	"math"
	"strconv"
)

// appendValue appends to the scratch space what fastjson2 makes of a value that is read into a String: it
// parses it and writes it again.
func (s *Scanner) appendValue(depth int) {
	s.blanks()
	if depth > MaxDepth {
		s.Fail("values are nested too deep")
		return
	}
	if s.pos >= len(s.data) {
		s.Fail("expected a value")
		return
	}
	switch c := s.data[s.pos]; c {
	case '"', '\'':
		s.appendQuoted(c)
	case '{':
		s.appendObject(depth)
	case '[':
		s.appendArray(depth)
	default:
		for _, word := range [...]string{"true", "false", "null"} {
			if s.literal(word) {
				s.scratch = append(s.scratch, word...)
				return
			}
		}
		text := s.number()
		if text == nil || text[0] == '.' || !hasDigit(text) {
			s.Fail("expected a value")
			return
		}
		s.scratch = appendNumber(s.scratch, text)
	}
}

func hasDigit(text []byte) bool {
	return bytes.IndexFunc(text, func(r rune) bool { return r >= '0' && r <= '9' }) >= 0
}

// appendQuoted writes a nested string again. Its plain form may lie where the escaped form is going to be
// written, so it is copied.
func (s *Scanner) appendQuoted(quote byte) {
	start := len(s.scratch)
	text := bytes.Clone(s.quoted(quote))
	s.scratch = AppendString(s.scratch[:start], text)
}

// appendObject leaves out null members.
func (s *Scanner) appendObject(depth int) {
	s.pos++
	s.scratch = append(s.scratch, '{')
	first := true
	for s.err == nil {
		start := len(s.scratch)
		if !first {
			s.scratch = append(s.scratch, ',')
		}
		if !s.appendName() {
			s.scratch = s.scratch[:start]
			break
		}
		s.blanks()
		if s.literal("null") {
			s.scratch = s.scratch[:start]
			continue
		}
		s.appendValue(depth + 1)
		first = false
	}
	s.scratch = append(s.scratch, '}')
}

// appendName appends the next member's name and its colon; false at the end of the object. Names may be bare
// words here, which are quoted, or integers, which are not.
func (s *Scanner) appendName() bool {
	switch c := s.separator('}'); {
	case c == '}' || s.err != nil:
		return false
	case c == '"' || c == '\'':
		s.appendQuoted(c)
	default:
		word := s.word()
		switch _, err := strconv.ParseInt(string(word), 10, 64); {
		case len(word) == 0:
			s.Fail("expected a member name")
			return false
		case err == nil:
			s.scratch = append(s.scratch, word...)
		default:
			s.scratch = AppendString(s.scratch, word)
		}
	}
	s.blanks()
	if !s.at(':') {
		s.Fail("expected a colon")
		return false
	}
	s.pos++
	s.scratch = append(s.scratch, ':')
	return true
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '$' || c == '-'
}

func (s *Scanner) appendArray(depth int) {
	s.pos++
	s.scratch = append(s.scratch, '[')
	for first := true; s.Element(); first = false {
		if !first {
			s.scratch = append(s.scratch, ',')
		}
		s.appendValue(depth + 1)
	}
	s.scratch = append(s.scratch, ']')
}

// appendNumber writes a number as Java does after reading it: integers without leading zeros, fractions as
// they are, exponents as Double.toString.
func appendNumber(dst, text []byte) []byte {
	digits, float := split(text)
	exponent := bytes.IndexAny(digits, "eE")
	if exponent >= 0 && !bytes.ContainsAny(digits[exponent:], "123456789") {
		return appendNumber(dst, digits[:exponent]) // an exponent without digits counts as none, and so does zero
	}
	if exponent >= 0 || float && bytes.IndexByte(digits, '.') < 0 {
		return appendDouble(dst, toFloat(digits))
	}
	negative := digits[0] == '-'
	if digits[0] == '-' || digits[0] == '+' {
		digits = digits[1:]
	}
	for len(digits) > 1 && digits[0] == '0' && isDigit(digits[1]) {
		digits = digits[1:]
	}
	if negative && bytes.ContainsAny(digits, "123456789") {
		dst = append(dst, '-') // zero has no sign
	}
	if digits[0] == '.' {
		dst = append(dst, '0')
	}
	return append(dst, bytes.TrimSuffix(digits, []byte("."))...)
}

// appendDouble follows Java's Double.toString.
func appendDouble(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	switch {
	case math.IsInf(f, 0):
		if f < 0 {
			dst = append(dst, '-')
		}
		return append(dst, "Infinity"...)
	case abs == 0 || abs >= 1e-3 && abs < 1e7:
		start := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		if bytes.IndexByte(dst[start:], '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	text := strconv.FormatFloat(f, 'E', -1, 64)
	mantissa, exponent, _ := bytes.Cut([]byte(text), []byte("E"))
	dst = append(dst, mantissa...)
	if bytes.IndexByte(mantissa, '.') < 0 {
		dst = append(dst, ".0"...)
	}
	n, _ := strconv.Atoi(string(exponent))
	return strconv.AppendInt(append(dst, 'E'), int64(n), 10)
}
