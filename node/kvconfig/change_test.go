package kvconfig

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// together lets all changes wait for the writer before it takes the first, and returns their errors and how often it wrote.
func together(t *testing.T, s *Store, changes ...func() error) (errs []error, writes uint64) {
	t.Helper()
	before := s.Generation()
	errs = make([]error, len(changes))
	var wg sync.WaitGroup
	s.write.Lock()
	for i, do := range changes {
		wg.Go(func() { errs[i] = do() })
		kit.Until(t, "the change to wait", func() bool {
			s.queue.Lock()
			defer s.queue.Unlock()
			return len(s.pending) == i+1
		})
	}
	s.write.Unlock()
	wg.Wait()
	return errs, s.Generation() - before
}

func put(s *Store, namespace, key, value string) func() error {
	return func() error { return s.Put(namespace, key, value) }
}

// What waits is written at once, in the order it came.
func TestChangesThatWaitAreOneWrite(t *testing.T) {
	s := openNew(t)
	must(t, s.Put("n", "old", "v"))
	before := held(t, s.Path())
	errs, writes := together(t, s, put(s, "n", "k", "1"), put(s, "m", "k", "2"), func() error { return s.Delete("n", "old") },
		put(s, "n", "k", "3"), func() error { return s.Delete("no such", "k") })
	must(t, errors.Join(errs...))
	if writes != 1 {
		t.Errorf("%d writes", writes)
	}
	if got, want := held(t, s.Path()), `{"configTable":{"m":{"k":"2"},"n":{"k":"3"}}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := held(t, s.Path()+".bak"); got != before {
		t.Errorf(".bak has %s", got)
	}
}

// One that is refused takes nobody with it, and what cannot be written fails for all and changes nothing.
func TestARefusedChangeCostsItselfOnly(t *testing.T) {
	s := openNew(t)
	s.SetLimits(Limits{Value: 3, Store: 1 << 20})
	errs, writes := together(t, s, put(s, "n", "a", "1"), put(s, "n", "b", "1234"), put(s, "n", "c", "123"))
	limited(t, errs[1], ValueOption)
	if errs[0] != nil || errs[2] != nil || writes != 1 {
		t.Errorf("%v, %d writes", errs, writes)
	}
	if got, want := held(t, s.Path()), `{"configTable":{"n":{"a":"1","c":"123"}}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	size := s.Size()
	must(t, os.Remove(s.Path()))
	must(t, os.Mkdir(s.Path(), 0o700))
	errs, writes = together(t, s, put(s, "n", "a", "2"), put(s, "n", "b", "1234"), put(s, "n", "d", "2"))
	limited(t, errs[1], ValueOption)
	if errs[0] == nil || errs[2] == nil || writes != 0 || s.Size() != size {
		t.Errorf("%v, %d writes, %d bytes", errs, writes, s.Size())
	}
	if v, ok := s.Get("n", "a"); v != "1" || !ok {
		t.Errorf("the value is %q, %v", v, ok)
	}
}

func limited(t *testing.T, err error, option string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), option) {
		t.Errorf("got %v, want a refusal that names %s", err, option)
	}
}

func TestValueLimit(t *testing.T) {
	s := openNew(t)
	s.SetLimits(Limits{Value: 100, Store: 1 << 20})
	must(t, s.Put("n", "k", strings.Repeat("v", 100)))
	limited(t, s.Put("n", "k", strings.Repeat("v", 101)), ValueOption)
	s.SetLimits(Limits{Value: 10, Store: 1 << 20}) // as if it had been there at the start
	limited(t, s.Put("n", "k", strings.Repeat("v", 101)), ValueOption)
	must(t, s.Put("n", "k", strings.Repeat("v", 100)))
	must(t, s.Put("n", "k", strings.Repeat("v", 50)))
	limited(t, s.Put("n", "k", strings.Repeat("v", 51)), ValueOption)
	limited(t, s.Put("n", "l", strings.Repeat("v", 11)), ValueOption)
	must(t, s.Put("n", "k", strings.Repeat("v", 10)))
}

// The store may grow to its limit and not beyond, by whatever makes it larger: values, keys, namespaces, characters that are
// longer in the file, or a great many of nothing.
func TestStoreLimit(t *testing.T) {
	for name, change := range map[string]func(s *Store, i int) error{
		"values":     func(s *Store, i int) error { return s.Put("n", fmt.Sprint(i), strings.Repeat("v", 900)) },
		"one value":  func(s *Store, i int) error { return s.Put("n", "k", strings.Repeat("v", 1000*i)) },
		"keys":       func(s *Store, i int) error { return s.Put("n", fmt.Sprint(strings.Repeat("k", 900), i), "") },
		"namespaces": func(s *Store, i int) error { return s.PutNull(fmt.Sprint(i), "k") },
		"escapes":    func(s *Store, i int) error { return s.Put("n", fmt.Sprint(i), strings.Repeat("\x01", 200)) },
		"no bytes":   func(s *Store, i int) error { return s.Put("n", fmt.Sprint(i), "") },
	} {
		s := openNew(t)
		s.SetLimits(Limits{Value: 1 << 20, Store: 4_000})
		n := 0
		for ; ; n++ {
			before := s.Size()
			if err := change(s, n); err != nil {
				limited(t, err, StoreOption)
				if s.Size() != before {
					t.Errorf("%s: a refusal changed the size from %d to %d", name, before, s.Size())
				}
				break
			}
			if size := s.Size(); size > 4_000 || len(held(t, s.Path())) > size {
				t.Fatalf("%s: change %d was taken, %d bytes, %d in the file", name, n, size, len(held(t, s.Path())))
			}
		}
		if n < 2 {
			t.Errorf("%s: %d changes were taken", name, n)
		}
		if got := s.current.Load().size(); got != s.Size() {
			t.Errorf("%s: the size is kept as %d, and is %d", name, s.Size(), got)
		}
		again, err := Open(s.Path())
		must(t, err)
		if again.Size() != s.Size() {
			t.Errorf("%s: %d bytes after a restart, %d before", name, again.Size(), s.Size())
		}
	}
}

// One byte below the limit is taken, one above is not.
func TestStoreLimitIsExact(t *testing.T) {
	s := openNew(t)
	must(t, s.Put("n", "k", "vvvv"))
	room := s.Size()
	for limit, want := range map[int]bool{room - 1: false, room: true} {
		s := openNew(t)
		s.SetLimits(Limits{Value: 100, Store: limit})
		if err := s.Put("n", "k", "vvvv"); (err == nil) != want {
			t.Errorf("limit %d of %d: %v", limit, room, err)
		}
	}
}

// What the file of the start has is served whole, and may change and become less, but not more.
func TestWhatIsBeyondTheLimitAtTheStartIsServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.json")
	want := map[string]string{}
	for i := range 10 {
		want[fmt.Sprint(i)] = strings.Repeat("v", 1000)
	}
	must(t, os.WriteFile(path, encodeFile(table{"n": newNamespace(want)}, 0), 0o600))
	s, err := Open(path)
	must(t, err)
	s.SetLimits(Limits{Value: 100, Store: 2_000})
	if got := s.current.Load().values("n"); !maps.Equal(got, want) {
		t.Errorf("%d values are served", len(got))
	}
	limited(t, s.Put("n", "x", "v"), StoreOption)
	limited(t, s.PutNull("m", "x"), StoreOption)
	must(t, s.Put("n", "0", strings.Repeat("w", 1000)))
	must(t, s.Put("n", "0", "v"))
	limited(t, s.Put("n", "1", strings.Repeat("v", 1001)), ValueOption)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		must(t, s.Delete("n", key))
	}
	must(t, s.Put("m", "x", "v"))
}

// Whoever asks for a list gets the same bytes until the namespace changes.
func TestListsAreShared(t *testing.T) {
	s := openNew(t)
	must(t, s.Put("n", "k", "v"))
	first, _ := s.List("n")
	must(t, s.Put("m", "k", "v"))
	second, _ := s.List("n")
	if &first[0] != &second[0] {
		t.Error("a change of another namespace made a new list")
	}
	must(t, s.Put("n", "k", "w"))
	if third, _ := s.List("n"); string(third) != `{"table":{"k":"w"}}` || string(first) != `{"table":{"k":"v"}}` {
		t.Errorf("%s, before %s", third, first)
	}
}
