package kvconfig

import (
	"fmt"

	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// What the options are called that set the limits, for whoever is refused.
const (
	ValueOption = "--kv-value-max"
	StoreOption = "--kv-store-max"
)

// Limits bound what changes may make of a store: none makes a value, or the whole, larger than its limit. What is beyond
// already, because the file of the start had it, is served, and may become smaller.
type Limits struct {
	Value int // bytes of one value
	// Store is the bytes of all: each namespace and each value as they stand in the file, with 64 more for each value and 512
	// for each namespace, which is what their places in memory take.
	Store int
}

// noLimits are those of a store that was given none.
var noLimits = Limits{Value: MaxFileBytes, Store: MaxFileBytes}

// beyond is what a change is refused with; option sets the limit.
func beyond(what string, bytes, limit int, option string) error {
	return fmt.Errorf("%s: %d bytes, and %s allows %d", what, bytes, option, limit)
}

// value judges a value of size bytes in the place of one that had old.
func (l *Limits) value(size, old int) error {
	if size > l.Value && size > old {
		return beyond("value", size, l.Value, ValueOption)
	}
	return nil
}

// store judges a change that makes a store of size bytes grow.
func (l *Limits) store(size, grown int) error {
	if grown > 0 && size+grown > l.Store {
		return beyond("kv config", size+grown, l.Store, StoreOption)
	}
	return nil
}

// SetLimits bounds the changes from now on.
func (s *Store) SetLimits(l Limits) {
	s.write.Lock()
	defer s.write.Unlock()
	s.limits = l
}

// size is the bytes of a table, as Limits.Store counts.
func (t table) size() (sum int) {
	for name, held := range t {
		sum += namespaceSize(name)
		for key, value := range held.values {
			sum += entrySize(key, value)
		}
	}
	return sum
}

// entrySize is "key":"value", in the file, and the place in a map.
func entrySize(key, value string) int { return quotedSize(key) + quotedSize(value) + len(`:,`) + 64 }

// namespaceSize is "namespace":{}, in the file, and the map.
func namespaceSize(name string) int { return quotedSize(name) + len(`:{},`) + 512 }

// quotedSize is the size of text in the file.
func quotedSize(text string) int {
	var most [512]byte // of what is kept on the stack
	return len(fastjson.AppendString(most[:0], text))
}
