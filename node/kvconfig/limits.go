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

// NoLimits are those of a store that was given none.
var NoLimits = Limits{Value: MaxFileBytes, Store: MaxFileBytes}

// LimitError says that a change was refused because of a limit.
type LimitError struct {
	What   string // "value" or "kv config"
	Bytes  int    // that there would be
	Limit  int
	Option string // that sets the limit
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %d bytes, and %s allows %d", e.What, e.Bytes, e.Option, e.Limit)
}

// value judges a value of size bytes in the place of one that had old.
func (l *Limits) value(size, old int) error {
	if size > l.Value && size > old {
		return &LimitError{What: "value", Bytes: size, Limit: l.Value, Option: ValueOption}
	}
	return nil
}

// store judges a change that makes a store of size bytes grow.
func (l *Limits) store(size, grown int) error {
	if grown > 0 && size+grown > l.Store {
		return &LimitError{What: "kv config", Bytes: size + grown, Limit: l.Store, Option: StoreOption}
	}
	return nil
}

// SetLimits bounds the changes from now on.
func (s *Store) SetLimits(l Limits) {
	s.write.Lock()
	defer s.write.Unlock()
	s.limits = l
}

// Size is the bytes of the store, as Limits.Store counts.
func (s *Store) Size() int {
	s.write.Lock()
	defer s.write.Unlock()
	return s.size
}

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
