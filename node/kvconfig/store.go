package kvconfig

import (
	"errors"
	"iter"
	"sync"
	"sync/atomic"
)

// OrderTopicConfig is the namespace of ordered topics: key = topic, value = "broker:queues;broker:queues".
const OrderTopicConfig = "ORDER_TOPIC_CONFIG"

// MaxFileBytes is the size from which on a file is refused at start and a change is refused.
const MaxFileBytes = 256 << 20

// ErrTooLarge says that the file is, or would become, larger than MaxFileBytes.
var ErrTooLarge = errors.New("kv config exceeds 256 MiB")

// table is immutable once published; a change publishes a new one that shares the untouched namespaces.
type table map[string]*namespace

// namespace is the values of one, and what code 219 answers of it: made when it is first asked for, and shared by all who ask.
type namespace struct {
	values map[string]string
	list   func() []byte
}

func newNamespace(values map[string]string) *namespace {
	return &namespace{values: values, list: sync.OnceValue(func() []byte { return encodeValues(values) })}
}

// values are those of a namespace, nil where there is none.
func (t table) values(name string) map[string]string {
	if n := t[name]; n != nil {
		return n.values
	}
	return nil
}

// Store is the KV configuration. Its methods may be called from any goroutine; reads take no lock.
type Store struct {
	path     string
	dir      error // ErrDirectory or nil
	missing  error // why there is no table; nil: there is one
	current  atomic.Pointer[table]
	orderGen atomic.Uint64
	changes  atomic.Uint64
	frozen   atomic.Pointer[error] // why every change is refused; nil: none is
	size     atomic.Int64          // of the table, as Limits.Store counts; set by whoever holds write

	queue   sync.Mutex // guards pending
	pending []*change  // for the next write

	write  sync.Mutex // guards the following fields, and is held from copying the table to publishing it
	limits Limits
}

// Open loads the store from path, or starts empty when the file is missing, empty or holds null and no .bak stands
// beside it. Where the file says less than a former store, or nothing that is understood, the error is a *Fault, and
// nothing must be written over it unsaid.
func Open(path string) (*Store, error) {
	t, dir, err := read(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, dir: dir, limits: noLimits}
	s.current.Store(&t)
	s.size.Store(int64(t.size()))
	return s, nil
}

// OpenEmpty is the store that starts empty whatever path holds.
func OpenEmpty(path string) *Store {
	s := &Store{path: path, limits: noLimits}
	s.current.Store(&table{})
	return s
}

// OpenMissing is the store of which nothing is known and in which nothing can be changed, for the reason why.
func OpenMissing(path string, why error) *Store {
	s := OpenEmpty(path)
	s.missing = why
	s.Freeze(why)
	return s
}

// Missing is why nothing is known of the values; nil: they are known.
func (s *Store) Missing() error { return s.missing }

// Freeze refuses every change from now on, for the reason why: the file is another one's.
func (s *Store) Freeze(why error) { s.frozen.Store(&why) }

// Frozen is why every change is refused; nil: none is.
func (s *Store) Frozen() error {
	if why := s.frozen.Load(); why != nil {
		return *why
	}
	return nil
}

// Thaw reads the file again, which another one has had, and takes changes from now on. On an error nothing has changed.
func (s *Store) Thaw() error {
	s.write.Lock()
	defer s.write.Unlock()
	t, _, err := read(s.path)
	if err != nil {
		return err
	}
	s.publish(t, t.size())
	s.orderGen.Add(1)
	s.frozen.Store(nil)
	return nil
}

// Directory is ErrDirectory when the store was opened where an empty directory stands in the file's place, else nil.
func (s *Store) Directory() error { return s.dir }

// Path is the file of the store.
func (s *Store) Path() string { return s.path }

// OrderGeneration changes whenever the namespace OrderTopicConfig may have changed.
func (s *Store) OrderGeneration() uint64 { return s.orderGen.Load() }

// Generation changes whenever anything may have changed.
func (s *Store) Generation() uint64 { return s.changes.Load() }

// All walks every value, in no order, as of one moment.
func (s *Store) All() iter.Seq2[[2]string, string] {
	t := *s.current.Load()
	return func(yield func([2]string, string) bool) {
		for namespace, held := range t {
			for key, value := range held.values {
				if !yield([2]string{namespace, key}, value) {
					return
				}
			}
		}
	}
}

// Get returns one value; ok is false for an unknown namespace or key.
func (s *Store) Get(namespace, key string) (value string, ok bool) {
	value, ok = s.current.Load().values(namespace)[key]
	return value, ok
}

// List returns the body of code 219, {"table":{"key":"value"}}, which nobody may change; known is false for a namespace that
// never was. A namespace whose keys were all deleted is still known.
func (s *Store) List(namespace string) (body []byte, known bool) {
	held, known := (*s.current.Load())[namespace]
	if !known {
		return nil, false
	}
	return held.list(), true
}

// Size is the bytes of what is served, as Limits.Store counts.
func (s *Store) Size() int { return int(s.size.Load()) }

func (s *Store) publish(t table, size int) {
	s.current.Store(&t)
	s.size.Store(int64(size))
	s.changes.Add(1)
}
