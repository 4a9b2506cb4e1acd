package routes

import "bytes"

// compareSlice is how many topics are compared under one read lock: about 20 us of work.
const compareSlice = 256

// comparison says which entries of a registration's topic table T does not have as they are. It is made under the read
// lock, so that the write lock, which makes readers of changed routes wait, is held for the changes only. It is true
// as long as no entry of T changes. The zero comparison says nothing.
type comparison struct {
	made    bool
	changes uint64  // topicTable.changes when it was made
	differ  []int32 // places in Registration.Topics
}

// compare makes the comparison of a large registration of a master that changes little; of others it says nothing.
func (t *Table) compare(r *Registration) (c comparison) {
	if r.ID != MasterID || !r.HasTopics || len(r.Topics) < compareSlice {
		return comparison{}
	}
	for from := 0; from < len(r.Topics); from += compareSlice {
		if from > 0 && r.Yield != nil {
			r.Yield()
		}
		if !t.compareSome(r, from, &c) {
			return comparison{}
		}
	}
	c.made = true
	return c
}

// compareSome compares one slice of the topics; false ends the comparison.
func (t *Table) compareSome(r *Registration, from int, c *comparison) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b := t.st.byName[r.Name]
	if b == nil || len(b.topics) == 0 || from > 0 && c.changes != t.st.changes {
		return false
	}
	c.changes = t.st.changes
	to := min(from+compareSlice, len(r.Topics))
	for i := from; i < to; i++ {
		rt := &r.Topics[i]
		if rt.Name == nil {
			continue
		}
		if rt.Key != nil && !bytes.Equal(rt.Key, rt.Name) {
			return false // two keys may name one topic, and then their order counts
		}
		if !t.st.has(rt, b) {
			c.differ = append(c.differ, int32(i))
		}
	}
	return len(c.differ) <= to/4 // of more, looking twice costs more than it saves
}

// has says that T has what a broker offers for a topic.
func (tt *topicTable) has(rt *Topic, b *broker) bool {
	t := tt.lookup(rt.Name)
	if t == nil {
		return false
	}
	i, ok := t.find(b.index)
	return ok && tt.settings[t.entries[i].setting].Queue == rt.Queue
}
