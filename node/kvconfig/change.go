package kvconfig

import (
	"fmt"
	"maps"
)

// change is one put or delete that waits to be written.
type change struct {
	namespace, key string
	value          *string // nil: the key goes
	create         bool    // the namespace comes into being
	done           bool    // err is known; guarded by Store.write
	err            error
}

// Put stores a value and persists. On an error nothing has changed; one about a limit names the option that sets it.
func (s *Store) Put(namespace, key, value string) error {
	return s.change(&change{namespace: namespace, key: key, value: &value, create: true})
}

// PutNull is a put without a value: the namespace comes into being and the key has no value any more, which is all
// that can be seen of the null that the original stores.
func (s *Store) PutNull(namespace, key string) error {
	return s.change(&change{namespace: namespace, key: key, create: true})
}

// Delete removes a key and persists, also when there is nothing to remove. A namespace stays when its last key goes.
// On an error nothing has changed.
func (s *Store) Delete(namespace, key string) error {
	return s.change(&change{namespace: namespace, key: key})
}

// change returns when c is in the file, or refused. Whoever may write next writes all that waits by then, so that many
// callers wait for two writes at most: the one under way and their own.
func (s *Store) change(c *change) error {
	s.queue.Lock()
	s.pending = append(s.pending, c)
	s.queue.Unlock()
	s.write.Lock()
	defer s.write.Unlock()
	if !c.done {
		s.commit()
	}
	return c.err
}

// commit writes everything pending in the order it came, and publishes the new table only after it is safely in the file.
// The caller holds write.
func (s *Store) commit() {
	s.queue.Lock()
	batch := s.pending
	s.pending = nil
	s.queue.Unlock()
	err := s.Frozen()
	d := draft{table: maps.Clone(*s.current.Load()), size: s.Size(), limits: s.limits, copied: make(map[string]bool)}
	kept := 0
	for _, c := range batch {
		c.done, c.err = true, err
		if err == nil {
			if c.err = d.apply(c); c.err == nil {
				kept++
			}
		}
	}
	if kept == 0 {
		return
	}
	if err := save(s.path, encodeFile(d.table, d.size)); err != nil {
		err = fmt.Errorf("persist kv config: %w", err)
		for _, c := range batch {
			if c.err == nil {
				c.err = err
			}
		}
		return
	}
	s.publish(d.table, d.size)
	if d.copied[OrderTopicConfig] {
		s.orderGen.Add(1)
	}
}

// draft is the next table. Namespaces that are in copied are its own.
type draft struct {
	table  table
	size   int
	limits Limits
	copied map[string]bool
}

// apply carries out one change, or leaves everything as it is.
func (d *draft) apply(c *change) error {
	values := d.table.values(c.namespace)
	if values == nil && !c.create {
		return nil // what is not there is not removed, but the file is written
	}
	grown := 0
	if values == nil {
		grown = namespaceSize(c.namespace)
	}
	old, had := values[c.key]
	if had {
		grown -= entrySize(c.key, old)
	}
	if c.value != nil {
		grown += entrySize(c.key, *c.value)
		if err := d.limits.value(len(*c.value), len(old)); err != nil {
			return err
		}
	}
	if err := d.limits.store(d.size, grown); err != nil {
		return err
	}
	if !d.copied[c.namespace] {
		if values = maps.Clone(values); values == nil {
			values = make(map[string]string)
		}
		d.copied[c.namespace], d.table[c.namespace] = true, newNamespace(values)
	}
	if c.value == nil {
		delete(values, c.key)
	} else {
		values[c.key] = *c.value
	}
	d.size += grown
	return nil
}
