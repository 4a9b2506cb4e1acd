// Package fastjson reads and writes the JSON that fastjson2 2.0.59 reads and writes inside Apache RocketMQ
// 5.5.0, which is more and less than RFC 8259.
//
// Read: member names must be quoted, with ' or ", except integer keys of maps. The comma between two members
// may be missing, one may trail. Comments are skipped before a name and around the whole text. Numbers may be
// strings, booleans, fractions or null where Java wants an integer. What Java refuses is refused.
//
// The Scanner follows com.alibaba.fastjson2.JSONReaderUTF8; AppendString follows JSONWriterUTF8.
package fastjson

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxDepth is how deep values may be nested, as in fastjson2.
const MaxDepth = 2048

// ErrSyntax is wrapped by every error of a Scanner.
var ErrSyntax = errors.New("json is not as expected")

// endOfInput is how fastjson2 marks the end of its input: it takes this byte for the end, too.
const endOfInput = 0x1A

// Scanner walks over one JSON text in place. After the first error every method returns zero values and every
// loop over members ends, so that callers need to look at End only.
//
//	s.Reset(data, scratch)
//	if s.Open() {
//		for name, ok := s.Name(); ok; name, ok = s.Name() { ... read or Skip the value ... }
//	}
//	scratch, err := s.Scratch(), s.End()
type Scanner struct {
	data    []byte
	pos     int
	scratch []byte // strings that are not in data as they are
	err     error
	failed  int  // where err was met
	lax     bool // Lax was called
}

// Reset starts over with another text. Strings that had escapes are appended to scratch.
func (s *Scanner) Reset(data, scratch []byte) { *s = Scanner{data: data, scratch: scratch} }

// Lax makes the scanner read what fastjson 1.2 reads beside fastjson2: comments wherever blanks may be, names without
// quotes, semicolons or several commas for one, and any character that shows nothing for a blank. It is for files that either has read, such as one edited by hand.
func (s *Scanner) Lax() { s.lax = true }

// Scratch is the scratch space with what was appended to it.
func (s *Scanner) Scratch() []byte { return s.scratch }

// Err is the first error.
func (s *Scanner) Err() error { return s.err }

// Len is how many bytes are to be read.
func (s *Scanner) Len() int { return len(s.data) - s.pos }

// Offset is how many bytes were read, and after an error how many before it.
func (s *Scanner) Offset() int {
	if s.err != nil {
		return s.failed
	}
	return s.pos
}

// Fail makes why the error of the scanner, unless it has one.
func (s *Scanner) Fail(why string) {
	if s.err == nil {
		s.failed = s.pos
		s.err = fmt.Errorf("%w: %s at byte %d of %d", ErrSyntax, why, s.pos, len(s.data))
	}
	s.pos = len(s.data) // nothing more to read: every loop ends
}

// End checks that nothing but blanks, a comma and comments follows, and returns the first error.
func (s *Scanner) End() error {
	s.blanks()
	if s.at(',') {
		s.pos++
	}
	s.comments()
	if s.err == nil && s.pos < len(s.data) && s.data[s.pos] != endOfInput {
		s.Fail("text after the value")
	}
	return s.err
}

// Open reads the { of an object. It is false for null, for "" (which fastjson2 takes for null) and after an
// error, which anything else is.
func (s *Scanner) Open() bool {
	if s.pos == 0 {
		s.comments()
	}
	s.blanks()
	if s.at('{') {
		s.pos++
		return true
	}
	if !s.null() {
		s.Fail("expected an object")
	}
	return false
}

// OpenArray reads the [ of an array; it is false like Open.
func (s *Scanner) OpenArray() bool {
	s.blanks()
	if s.at('[') {
		s.pos++
		return true
	}
	if !s.null() {
		s.Fail("expected an array")
	}
	return false
}

// null reads null or an empty string.
func (s *Scanner) null() bool {
	if s.literal("null") || s.literal(`""`) || s.literal("''") {
		return true
	}
	return false
}

// Name reads the next member's name and its colon. It is false when the object ends, with the } read, or
// after an error. The name aliases the text or the scratch space.
func (s *Scanner) Name() (name []byte, ok bool) { return s.name(false) }

// Key is Name for Java maps whose keys may be integers without quotes; it returns their digits.
func (s *Scanner) Key() (key []byte, ok bool) { return s.name(true) }

func (s *Scanner) name(bare bool) (name []byte, ok bool) {
	c := s.separator('}')
	switch {
	case c == '"' || c == '\'':
		name = s.quoted(c)
	case bare && isNumberByte(c):
		start := s.pos
		for s.pos < len(s.data) && isNumberByte(s.data[s.pos]) {
			s.pos++
		}
		name = s.data[start:s.pos]
	case c == '}':
		return nil, false
	case s.lax && isWord(c):
		name = s.word()
	default:
		s.Fail("expected a quoted member name")
		return nil, false
	}
	if s.at(':') { // as everybody writes it
		s.pos++
		return name, true
	}
	s.blanks()
	if !s.at(':') {
		s.Fail("expected a colon")
		return nil, false
	}
	s.pos++
	return name, true
}

// Element moves to the next element of an array. It is false when the array ends, with the ] read, or after
// an error.
func (s *Scanner) Element() bool {
	switch c := s.separator(']'); {
	case c == ']':
		return false
	case c == ',' || s.pos >= len(s.data):
		s.Fail("expected an element")
		return false
	}
	return true
}

// separator moves over blanks and one comma to the next member, and returns its first byte, which is read only
// if it is closing. Comments may follow the comma or the opening bracket, where no comma may be.
func (s *Scanner) separator(closing byte) byte {
	if s.pos < len(s.data) && s.data[s.pos] == ',' && !s.opened() {
		s.pos++ // the common case: nothing between a value and the comma
		s.gap()
	} else if s.opened() {
		s.gap()
	} else if s.blanks(); s.at(',') {
		s.pos++
		s.gap()
	}
	for s.lax && (s.at(',') || s.at(';')) {
		s.pos++
		s.gap()
	}
	if s.pos >= len(s.data) {
		s.Fail("unexpected end")
		return 0
	}
	c := s.data[s.pos]
	if c == closing {
		s.pos++
	}
	return c
}

// gap skips blanks and comments, if there are any.
func (s *Scanner) gap() {
	if s.lax || s.pos < len(s.data) && s.data[s.pos] <= '/' && s.data[s.pos] != '"' {
		s.comments()
	}
}

// opened says that the byte before opens an object or array; a value never ends in one.
func (s *Scanner) opened() bool {
	return s.pos > 0 && (s.data[s.pos-1] == '{' || s.data[s.pos-1] == '[')
}

func (s *Scanner) at(c byte) bool { return s.pos < len(s.data) && s.data[s.pos] == c }

// literal reads exactly text, if it is there.
func (s *Scanner) literal(text string) bool {
	if len(s.data)-s.pos >= len(text) && string(s.data[s.pos:s.pos+len(text)]) == text {
		s.pos += len(text)
		return true
	}
	return false
}

// blanks skips what fastjson2 takes for white space: no more of Unicode than these.
func (s *Scanner) blanks() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\n', '\r', '\t', '\f', '\b', 0:
			s.pos++
		case '/':
			if !s.lax || !s.comment() {
				return
			}
		default:
			if !s.lax || !s.oddBlank() {
				return
			}
		}
	}
}

// oddBlank skips what fastjson 1.2 takes for white space in some places and fastjson2 in others: control characters, and what
// comes with text that was copied from a page.
func (s *Scanner) oddBlank() bool {
	r, n := utf8.DecodeRune(s.data[s.pos:])
	if r == endOfInput || !unicode.IsSpace(r) && !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r) {
		return false
	}
	s.pos += n
	return true
}

// comments skips blanks and comments of both kinds.
func (s *Scanner) comments() {
	for s.blanks(); s.at('/') && s.comment(); s.blanks() {
	}
}

// comment skips the one that begins here; it is false after an error.
func (s *Scanner) comment() bool {
	switch {
	case s.literal("//"):
		for s.pos < len(s.data) && s.data[s.pos] != '\n' {
			s.pos++
		}
	case s.literal("/*"):
		for !s.literal("*/") {
			if s.pos >= len(s.data) {
				s.Fail("unclosed comment")
				return false
			}
			s.pos++
		}
	default:
		s.Fail("expected a comment")
		return false
	}
	return true
}

// word reads a name that has no quotes.
func (s *Scanner) word() []byte {
	start := s.pos
	for s.pos < len(s.data) && isWord(s.data[s.pos]) {
		s.pos++
	}
	return s.data[start:s.pos]
}

func isNumberByte(c byte) bool { return c >= '0' && c <= '9' || c == '-' }
