package fastjson

// Skip moves over a value that Java has no member for. It is checked by stricter rules than others: no
// missing or trailing comma, no comment, no bare name. Strings are not checked to be UTF-8.
func (s *Scanner) Skip() {
	if s.lax {
		s.skipLax(0)
		return
	}
	s.skip(0)
}

func (s *Scanner) skip(depth int) {
	s.blanks()
	if s.pos >= len(s.data) {
		s.Fail("expected a value")
		return
	}
	if depth > MaxDepth {
		s.Fail("values are nested too deep")
		return
	}
	switch c := s.data[s.pos]; c {
	case '"', '\'':
		s.skipString(c)
	case '{':
		s.pos++
		s.skipMembers('}', depth)
	case '[':
		s.pos++
		s.skipMembers(']', depth)
	default:
		if !s.literal("true") && !s.literal("false") && !s.literal("null") && s.number() == nil {
			s.Fail("expected a value")
		}
	}
}

func (s *Scanner) skipMembers(closing byte, depth int) {
	s.blanks()
	if s.at(closing) {
		s.pos++
		return
	}
	for s.err == nil {
		if closing == '}' {
			s.blanks()
			if !s.at('"') && !s.at('\'') {
				s.Fail("expected a quoted member name")
				return
			}
			s.skipString(s.data[s.pos])
			s.blanks()
			if !s.at(':') {
				s.Fail("expected a colon")
				return
			}
			s.pos++
		}
		s.skip(depth + 1)
		s.blanks()
		switch {
		case s.at(','):
			s.pos++
		case s.at(closing):
			s.pos++
			return
		default:
			s.Fail("expected a comma or the end")
		}
	}
}

// skipString moves over a string whose opening quote is next.
func (s *Scanner) skipString(quote byte) {
	for i := s.pos + 1; i < len(s.data); i++ {
		switch s.data[i] {
		case quote:
			s.pos = i + 1
			return
		case '\\':
			// escapes are read for their refusals; what they stand for is dropped
			keep := len(s.scratch)
			s.pos = i
			if !s.escape() {
				return
			}
			s.scratch = s.scratch[:keep]
			i = s.pos - 1
		}
	}
	s.Fail("unclosed string")
}

// SkipMap moves over a value that Java reads into a map whose content nobody needs: an object (with the
// tolerances of members that are read, and integer keys) or null.
func (s *Scanner) SkipMap() {
	if s.literal("{}") {
		return
	}
	if !s.Open() {
		return
	}
	s.skipMap(0)
}

func (s *Scanner) skipMap(depth int) {
	if depth > MaxDepth {
		s.Fail("values are nested too deep")
		return
	}
	for _, ok := s.Key(); ok; _, ok = s.Key() {
		s.skipLax(depth)
	}
}

func (s *Scanner) skipLax(depth int) {
	s.blanks()
	switch {
	case s.at('{'):
		s.pos++
		s.skipMap(depth + 1)
	case s.at('['):
		s.pos++
		if depth > MaxDepth {
			s.Fail("values are nested too deep")
			return
		}
		for s.Element() {
			s.skipLax(depth + 1)
		}
	default:
		s.skip(depth)
	}
}
