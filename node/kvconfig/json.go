package kvconfig

import (
	"maps"
	"slices"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// encodeFile writes {"configTable":{"namespace":{"key":"value"}}} on one line without a final line feed. Java writes
// the maps in hash order; here they are sorted. room is about how many bytes that are.
func encodeFile(t table, room int) []byte {
	out := append(make([]byte, 0, room+32), `{"configTable":{`...)
	for i, namespace := range slices.Sorted(maps.Keys(t)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(fastjson.AppendString(out, namespace), ':')
		out = appendValues(out, t[namespace].values)
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
