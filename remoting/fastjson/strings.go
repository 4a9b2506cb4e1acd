package fastjson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// String reads a value as Java reads a String field: null is nil, numbers and booleans are their text, a list of one
// string or one null is that, other nested values are their JSON text. The result aliases the text or the scratch space; it is not nil for "".
func (s *Scanner) String() []byte {
	s.blanks()
	if s.pos >= len(s.data) {
		s.Fail("expected a value")
		return nil
	}
	if c := s.data[s.pos]; c == '"' || c == '\'' {
		return s.quoted(c)
	}
	if s.literal("null") {
		return nil
	}
	if s.at('[') {
		if text, ok := s.only(); ok {
			return text
		}
	}
	start := len(s.scratch)
	s.appendValue(0)
	if s.err != nil {
		return nil
	}
	return s.scratch[start:len(s.scratch):len(s.scratch)]
}

// only reads a list of one string or one null; of any other value it reads nothing.
func (s *Scanner) only() (text []byte, ok bool) {
	pos, scratch, err := s.pos, len(s.scratch), s.err
	s.pos++
	if s.Element() {
		if text, ok = s.Quoted(); !ok {
			ok = s.literal("null")
		}
		if ok && !s.Element() && s.err == nil {
			return text, true
		}
	}
	s.pos, s.scratch, s.err = pos, s.scratch[:scratch], err
	return nil, false
}

// Quoted reads a string if that is what comes next.
func (s *Scanner) Quoted() (text []byte, ok bool) {
	s.blanks()
	if s.at('"') || s.at('\'') {
		text = s.quoted(s.data[s.pos])
		return text, true
	}
	return nil, false
}

// AtNumberOrNull says that a number or null comes next.
func (s *Scanner) AtNumberOrNull() bool {
	s.blanks()
	return s.pos < len(s.data) && (isNumberByte(s.data[s.pos]) || s.at('+') || s.at('.') || s.at('n'))
}

// quoted reads a string whose opening quote is next.
func (s *Scanner) quoted(quote byte) []byte {
	data, start := s.data, s.pos+1
	for i := start; i < len(data); i++ {
		switch c := data[i]; {
		case c == quote:
			s.pos = i + 1
			return data[start:i:i]
		case c == '\\' || c >= utf8.RuneSelf:
			s.pos = i
			return s.quotedSlow(quote, start)
		}
	}
	s.Fail("unclosed string")
	return nil
}

// quotedSlow goes on with a string that began at start when the first byte comes that is an escape or not
// ASCII. Only escapes make it copy.
func (s *Scanner) quotedSlow(quote byte, start int) []byte {
	from := len(s.scratch)
	copied := false
	run := start // where the bytes begin that are not yet copied
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == quote:
			tail := s.data[run:s.pos:s.pos]
			s.pos++
			if !copied {
				return tail
			}
			s.scratch = append(s.scratch, tail...)
			return s.scratch[from:len(s.scratch):len(s.scratch)]
		case c == '\\':
			copied = true
			s.scratch = append(s.scratch, s.data[run:s.pos]...)
			if !s.escape() {
				return nil
			}
			run = s.pos
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && n == 1 {
				s.Fail("string is not UTF-8")
				return nil
			}
			s.pos += n
		default:
			s.pos++
		}
	}
	s.Fail("unclosed string")
	return nil
}

// escape reads one escape, or two if they are a surrogate pair, and appends what it stands for.
func (s *Scanner) escape() bool {
	if s.pos+1 >= len(s.data) {
		s.Fail("unclosed string")
		return false
	}
	c := s.data[s.pos+1]
	s.pos += 2
	switch c {
	case '"', '\'', '\\', '/', ' ', '#', '&', '(', ')', ',', '.', '@', '[', ']', '_', '~':
	case 'b':
		c = '\b'
	case 'f', 'F':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'v':
		c = '\v'
	case '0', '1', '2', '3', '4', '5', '6', '7':
		c -= '0'
	case 'x':
		r, ok := s.hex(2)
		s.scratch = utf8.AppendRune(s.scratch, r)
		return ok
	case 'u':
		return s.unicode()
	case '*', '+', '-', ':', '<', '=', '>': // fastjson2 knows these in names of maps only
		if s.lax {
			break
		}
		fallthrough
	default:
		s.pos -= 2
		s.Fail("unknown escape")
		return false
	}
	s.scratch = append(s.scratch, c)
	return true
}

// unicode goes on after \u. Half a surrogate pair becomes a question mark, as it does when Java writes it out.
func (s *Scanner) unicode() bool {
	r, ok := s.hex(4)
	if !ok {
		return false
	}
	if utf16.IsSurrogate(r) {
		pair := rune(utf8.RuneError)
		if rest := s.data[s.pos:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
			before := s.pos
			s.pos += 2
			low, ok := s.hex(4)
			if !ok {
				return false
			}
			if pair = utf16.DecodeRune(r, low); pair == utf8.RuneError {
				s.pos = before // the second escape stands for itself
			}
		}
		if r = pair; r == utf8.RuneError {
			r = '?'
		}
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return true
}

func (s *Scanner) hex(digits int) (r rune, ok bool) {
	if len(s.data)-s.pos < digits {
		s.Fail("unclosed string")
		return 0, false
	}
	for _, c := range s.data[s.pos : s.pos+digits] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			s.Fail("expected a hexadecimal digit")
			return 0, false
		}
	}
	s.pos += digits
	return r, true
}
