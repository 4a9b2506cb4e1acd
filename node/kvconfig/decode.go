package kvconfig

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// ErrNoTable says that a file is JSON but has no configTable object.
var ErrNoTable = errors.New(`no "configTable" object in it`)

// decodeFile reads what encodeFile and the original write, and what people make of it by hand and the original reads:
// fastjson2, as 5.5.0 uses it, or fastjson 1.2 of 4.9. An empty file and null hold no table, and nil comes of them; null
// namespaces and values are left out, and a value that is no string is kept as its JSON text. Of a name that comes twice the
// last counts.
func decodeFile(content []byte) (table, error) {
	content = withoutMark(content)
	if len(content) == 0 {
		return nil, nil
	}
	if !utf8.Valid(content) {
		content = []byte(string([]rune(string(content)))) // Java reads a byte that is no UTF-8 as U+FFFD
	}
	var s fastjson.Scanner
	s.Reset(content, nil)
	s.Lax()
	var t table
	object := s.Open()
	if object {
		for name, ok := s.Name(); ok; name, ok = s.Name() {
			if string(name) == "configTable" {
				t = namespaces(&s)
			} else {
				s.Skip()
			}
		}
	}
	if err := s.End(); err != nil {
		line := 1 + bytes.Count(content[:s.Offset()], []byte("\n"))
		return nil, fmt.Errorf("not a kv config file: line %d: %w", line, err)
	}
	if object && t == nil {
		return nil, ErrNoTable
	}
	return t, nil
}

// withoutMark is content without a byte order mark.
func withoutMark(content []byte) []byte { return bytes.TrimPrefix(content, []byte("\ufeff")) }

// namespaces reads the object that comes next; nil is null.
func namespaces(s *fastjson.Scanner) table {
	if !s.Open() {
		return nil
	}
	t := table{}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		namespace := string(key)
		if held := values(s); held != nil {
			t[namespace] = newNamespace(held)
		} else {
			delete(t, namespace)
		}
	}
	return t
}

func values(s *fastjson.Scanner) map[string]string {
	if !s.Open() {
		return nil
	}
	texts := map[string]string{}
	for key, ok := s.Name(); ok; key, ok = s.Name() {
		name := string(key)
		if text := s.String(); text != nil {
			texts[name] = string(text)
		} else {
			delete(texts, name)
		}
	}
	return texts
}
