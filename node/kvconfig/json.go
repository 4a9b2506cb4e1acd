package kvconfig

import (
	"maps"
	"slices"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// encodeFile writes {"configTable":{"namespace":{"key":"value"}}} on one line without a final line feed. Java writes
// the maps in hash order; here they are sorted.
func encodeFile(t table) []byte {
	out := []byte(`{"configTable":{`)
	for i, namespace := range slices.Sorted(maps.Keys(t)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(fastjson.AppendString(out, namespace), ':')
		out = appendValues(out, t[namespace])
	}
	return append(out, "}}"...)
}

func encodeValues(values map[string]string) []byte {
	return append(appendValues([]byte(`{"table":`), values), '}')
}

func appendValues(out []byte, values map[string]string) []byte {
	out = append(out, '{')
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(fastjson.AppendString(out, key), ':')
		out = fastjson.AppendString(out, values[key])
	}
	return append(out, '}')
}
