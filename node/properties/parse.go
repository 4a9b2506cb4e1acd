package properties

import (
	"fmt"
	"unicode/utf8"
)

// Entry is one property. Line is the line of the text, counted from 1, on which the entry begins.
type Entry struct {
	Key, Value string
	Line       int
	Other      int // the line of an earlier one that gives the key another value; 0: there is none
}

// SyntaxError says where a text is no properties text. The only fault the format knows is an escape \u that is not
// followed by four hexadecimal digits.
type SyntaxError struct {
	Line   int    // counted from 1
	Escape string // the faulty escape as it stands in the text
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d: malformed escape %q: \\u takes four hexadecimal digits", e.Line, e.Escape)
}

// Parse reads properties text as Java does from a byte stream: every byte is one ISO-8859-1 character, so UTF-8 text
// comes out as mojibake, in files and in the body of code 318 alike. Each key appears once in the result, with its
// last value, at the place of that last definition. A half of a surrogate pair becomes "?", which is what Java writes
// for it. The error is a *SyntaxError.
func Parse(text []byte) ([]Entry, error) {
	var entries []Entry
	l := lines{text: text, line: 1}
	for {
		logical, number, ok := l.next()
		if !ok {
			return lastOfEach(entries), nil
		}
		rawKey, rawValue := split(logical)
		key, err := unescape(rawKey, number)
		if err != nil {
			return nil, err
		}
		value, err := unescape(rawValue, number)
		if err != nil {
			return nil, err
		}
		entries = append(entries, Entry{Key: key, Value: value, Line: number})
	}
}

// FromText turns the body of a request into the bytes that Parse expects, as MixAll.string2Properties does: bytes
// that are no UTF-8 are replaced by U+FFFD before the text is read byte by byte.
func FromText(body []byte) []byte {
	if utf8.Valid(body) {
		return body
	}
	return []byte(string([]rune(string(body))))
}

func lastOfEach(entries []Entry) []Entry {
	last := make(map[string]int, len(entries))
	for i, e := range entries {
		if before, twice := last[e.Key]; twice {
			entries[i].Other = entries[before].Other
			if entries[before].Value != e.Value {
				entries[i].Other = entries[before].Line
			}
		}
		last[e.Key] = i
	}
	kept := entries[:0]
	for i, e := range entries {
		if last[e.Key] == i {
			kept = append(kept, e)
		}
	}
	return kept
}
