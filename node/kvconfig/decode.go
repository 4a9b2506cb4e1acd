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
// and values are left out.
func decodeFile(content []byte) (table, error) {
	content = bytes.TrimSpace(content)
	if len(content) == 0 {
		return table{}, nil
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("not a kv config file: %w", err)
	}
	if file == nil { // the text null
		return table{}, nil
	}
	var namespaces map[string]map[string]*string
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
		t[namespace] = make(map[string]string, len(values))
		for key, value := range values {
			if value != nil {
				t[namespace][key] = *value
			}
		}
	}
	return t, nil
}
