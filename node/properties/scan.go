package properties

// lines cuts the text into logical lines: a line end behind an odd number of backslashes belongs to the line, together
// with that backslash and the blanks that begin the next one. It follows Properties.LineReader.
type lines struct {
	text []byte
	pos  int
	line int // number of the line at pos, from 1
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\f' }
func isEOL(c byte) bool   { return c == '\n' || c == '\r' }

// next returns the next logical line that is neither blank nor a comment, without the blanks it begins with, and the
// number of its first line.
func (l *lines) next() (logical []byte, number int, ok bool) {
	for l.pos < len(l.text) {
		l.skipBlanks()
		number = l.line
		if l.pos < len(l.text) && (l.text[l.pos] == '#' || l.text[l.pos] == '!') {
			l.restOfLine()
			l.lineEnd()
			continue
		}
		if logical, ok = l.joined(); ok {
			return logical, number, true
		}
	}
	return nil, 0, false
}

// joined reads one logical line and its end. A line of which nothing is left is none; but where the text ends with a
// dangling backslash, or with that and one character of line end, the line counts, as in Java.
func (l *lines) joined() (logical []byte, ok bool) {
	for {
		part := l.restOfLine()
		atEnd := l.pos+1 >= len(l.text)
		continues := endsEscaped(part)
		if continues {
			part = part[:len(part)-1]
		}
		if logical == nil {
			logical = part
		} else {
			logical = append(logical[:len(logical):len(logical)], part...)
		}
		l.lineEnd()
		if !continues || atEnd {
			return logical, len(logical) > 0 || continues
		}
		l.skipBlanks()
		if len(logical) == 0 || l.pos == len(l.text) { // after nothing, the next line begins anew and may be a comment
			return logical, len(logical) > 0
		}
	}
}

func (l *lines) skipBlanks() {
	for l.pos < len(l.text) && isBlank(l.text[l.pos]) {
		l.pos++
	}
}

func (l *lines) restOfLine() []byte {
	start := l.pos
	for l.pos < len(l.text) && !isEOL(l.text[l.pos]) {
		l.pos++
	}
	return l.text[start:l.pos]
}

// lineEnd steps over one line end: \n, \r or \r\n.
func (l *lines) lineEnd() {
	if l.pos == len(l.text) {
		return
	}
	if l.text[l.pos] == '\r' && l.pos+1 < len(l.text) && l.text[l.pos+1] == '\n' {
		l.pos++
	}
	l.pos++
	l.line++
}

// endsEscaped says that part ends with an odd number of backslashes.
func endsEscaped(part []byte) bool {
	n := 0
	for n < len(part) && part[len(part)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// split cuts a logical line into raw key and raw value: the key ends at the first unescaped '=', ':' or blank, and
// between the two stand blanks and at most one '=' or ':'.
func split(logical []byte) (key, value []byte) {
	i := 0
	for i < len(logical) && logical[i] != '=' && logical[i] != ':' && !isBlank(logical[i]) {
		if logical[i] == '\\' {
			i++
		}
		i++
	}
	i = min(i, len(logical))
	key = logical[:i]
	for seen := false; i < len(logical); i++ {
		if c := logical[i]; (c == '=' || c == ':') && !seen {
			seen = true
		} else if !isBlank(c) {
			break
		}
	}
	return key, logical[i:]
}
