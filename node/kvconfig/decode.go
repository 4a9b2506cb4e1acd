package kvconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNoTable says that a file is JSON but has no configTable object.
var ErrNoTable = errors.New(`no "configTable" object in it; restore it from its .bak file or remove it`)

// decodeFile reads what encodeFile and the original write. An empty file and null are an empty table; null namespaces
// and values are left out, and a value that is no string is kept as its JSON text. Of a name that comes twice the last
// counts.
func decodeFile(content []byte) (table, error) {
	content = withoutMark(content)
	if len(content) == 0 {
		return table{}, nil
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("not a kv config file: %w", positioned(content, err))
	}
	if file == nil { // the text null
		return table{}, nil
	}
	var namespaces map[string]map[string]json.RawMessage
	if raw := file["configTable"]; raw != nil {
		if err := json.Unmarshal(raw, &namespaces); err != nil {
			return nil, fmt.Errorf("configTable: %w", err)
		}
	}
	if namespaces == nil {
		return nil, ErrNoTable
	}
	t := make(table, len(namespaces))
	for namespace, values := range namespaces {
		if values == nil {
			continue
		}
		texts, err := texts(values)
		if err != nil {
			return nil, fmt.Errorf("configTable: namespace %q: %w", namespace, err)
		}
		t[namespace] = texts
	}
	return t, nil
}

// withoutMark is content without a byte order mark.
func withoutMark(content []byte) []byte { return bytes.TrimPrefix(content, []byte("\ufeff")) }

func texts(values map[string]json.RawMessage) (map[string]string, error) {
	texts := make(map[string]string, len(values))
	for key, raw := range values {
		switch raw[0] {
		case 'n': // null
		case '"':
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return nil, fmt.Errorf("key %q: %w", key, err)
			}
			texts[key] = text
		default:
			var text bytes.Buffer
			if err := json.Compact(&text, raw); err != nil {
				return nil, fmt.Errorf("key %q: %w", key, err)
			}
			texts[key] = text.String()
		}
	}
	return texts, nil
}

// positioned adds the line on which a syntax error stands.
func positioned(content []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	before := content[:min(int(syntax.Offset), len(content))]
	return fmt.Errorf("line %d: %w", 1+bytes.Count(before, []byte("\n")), err)
}
