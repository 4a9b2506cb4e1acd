package fastjson

import (
	"bytes"
	"math"
	"strconv"
)

// Int32 reads a value as Java reads an int field: also from a string, a boolean (1 and 0), a fraction
// (truncated) or an exponent (truncated, and limited to 32 bits). null is true for null, whose number is 0.
// An integer beyond 32 bits is an error.
func (s *Scanner) Int32() (n int32, null bool) {
	wide, null := s.integer(math.MinInt32, math.MaxInt32)
	return int32(wide), null
}

// Int64 is Int32 with 64 bits.
func (s *Scanner) Int64() (n int64, null bool) { return s.integer(math.MinInt64, math.MaxInt64) }

func (s *Scanner) integer(lowest, highest int64) (n int64, null bool) {
	// The common case: up to 18 digits, which cannot overflow, and then the end of the member.
	data, i := s.data, s.pos
	for i < len(data) && i-s.pos < 18 && data[i]-'0' < 10 {
		n = n*10 + int64(data[i]-'0')
		i++
	}
	if i > s.pos && n <= highest && i < len(data) && (data[i] == ',' || data[i] == '}') {
		s.pos = i
		return n, false
	}
	return s.integerSlow(lowest, highest)
}

func (s *Scanner) integerSlow(lowest, highest int64) (n int64, null bool) {
	s.blanks()
	switch {
	case s.literal("null"):
		return 0, true
	case s.literal("true"):
		return 1, false
	case s.literal("false"):
		return 0, false
	}
	text := s.number()
	if text == nil && (s.at('"') || s.at('\'')) {
		text = s.quoted(s.data[s.pos])
		switch string(text) {
		case "", "null", "false":
			return 0, false
		case "true":
			return 1, false
		}
		var check Scanner // the whole string must be one number
		check.Reset(text, nil)
		if string(check.number()) != string(text) || hasSuffix(text) {
			s.Fail("expected a number")
			return 0, false
		}
	}
	if text == nil {
		s.Fail("expected a number")
		return 0, false
	}
	n, ok := ToInteger(text, lowest, highest)
	if !ok {
		s.Fail("number is out of range")
	}
	return n, false
}

// number reads the longest text that looks like a number, and a Java suffix after it; nil if there is none.
func (s *Scanner) number() []byte {
	start := s.pos
	if s.at('-') || s.at('+') {
		s.pos++
	}
	digits := s.digits()
	if s.at('.') {
		s.pos++
		digits += s.digits() + 1
	}
	if digits == 0 {
		s.pos = start
		return nil
	}
	if s.at('e') || s.at('E') {
		s.pos++
		if s.at('-') || s.at('+') {
			s.pos++
		}
		s.digits()
	}
	if s.pos < len(s.data) && isSuffix(s.data[s.pos]) {
		s.pos++
	}
	return s.data[start:s.pos:s.pos]
}

// isSuffix says that c marks the type of a Java number. fastjson2 takes one after a number, but not in a string.
func isSuffix(c byte) bool { return c == 'L' || c == 'F' || c == 'D' || c == 'B' || c == 'S' }

func hasSuffix(text []byte) bool { return isSuffix(text[len(text)-1]) }

func (s *Scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos]-'0' < 10 {
		s.pos++
	}
	return s.pos - start
}

// ToInteger is the integer that a number's text stands for in a Java field between lowest and highest:
// integers must lie between them, fractions and exponents are truncated and limited.
func ToInteger(text []byte, lowest, highest int64) (n int64, ok bool) {
	digits, float := split(text)
	if !float {
		n, err := strconv.ParseInt(string(digits), 10, 64)
		return n, err == nil && n >= lowest && n <= highest
	}
	if whole, _, found := bytes.Cut(digits, []byte(".")); found && !bytes.ContainsAny(digits, "eE") {
		// a plain fraction keeps all digits of its whole part
		if len(whole) == 0 || len(whole) == 1 && !isDigit(whole[0]) {
			return 0, true
		}
		if n, err := strconv.ParseInt(string(whole), 10, 64); err == nil {
			return min(max(n, lowest), highest), true
		}
	}
	f := toFloat(digits)
	switch { // Java's narrowing conversion saturates
	case f >= float64(highest):
		return highest, true
	case f <= float64(lowest):
		return lowest, true
	}
	return int64(f), true
}

// split takes the suffix off a number's text and says whether it is a floating point number.
func split(text []byte) (digits []byte, float bool) {
	float = bytes.ContainsAny(text, ".eE")
	switch text[len(text)-1] {
	case 'F', 'D':
		return text[:len(text)-1], true
	case 'L', 'B', 'S':
		return text[:len(text)-1], float
	}
	return text, float
}

// toFloat is the double of a number's text; an exponent without digits counts as none.
func toFloat(digits []byte) float64 {
	text := bytes.TrimRight(digits, "eE+-")
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0
	}
	return f
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Bool reads a value as Java reads a boolean field: also from a number (1 and -1 are true, all others false) or the
// strings "true", "false", "null" and "" (in any letter case), "1", "Y", "0" and "N" (without escapes). null is true for
// null.
func (s *Scanner) Bool() (value, null bool) {
	s.blanks()
	switch {
	case s.literal("true"):
		return true, false
	case s.literal("false"):
		return false, false
	case s.literal("null"):
		return false, true
	case s.at('"') || s.at('\''):
		start := s.pos
		switch text := s.quoted(s.data[s.pos]); {
		case len(text) == 0 || bytes.EqualFold(text, []byte("false")) || bytes.EqualFold(text, []byte("null")):
			return false, false
		case bytes.EqualFold(text, []byte("true")):
			return true, false
		case s.err == nil && s.pos-start == len(`"1"`):
			switch text[0] {
			case '1', 'Y':
				return true, false
			case '0', 'N':
				return false, false
			}
		}
	case !s.at('+') && !s.at('.'):
		if text := s.number(); text != nil {
			digits, float := split(text)
			n, err := strconv.ParseInt(string(digits), 10, 64)
			return !float && len(digits) == len(text) && err == nil && (n == 1 || n == -1), false
		}
	}
	s.Fail("expected a boolean")
	return false, false
}
