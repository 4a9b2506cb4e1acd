package routes

import "bytes"

// compareSlice is how many topics are compared under one read lock: about 20 us of work.
const compareSlice = 256

// rest is what of a registration's topic table is not yet in T, by place in Registration.Topics: found under the read lock,
// so that the write lock, which makes readers of changed routes wait, is held for the changes only. It holds
// while no entry of T has changed since, and says nothing when it is not known.
type rest struct {
	known   bool
	changes uint64 // topicTable.changes when it was made
	places  []int32
}

// compare finds the rest of a large registration of a master that changes little.
func (t *Table) compare(r *Registration) (found rest) {
	if r.ID != MasterID || !r.HasTopics || len(r.Topics) < compareSlice {
		return rest{}
	}
	for from := 0; from < len(r.Topics); from += compareSlice {
		if from > 0 && r.Yield != nil {
			r.Yield()
		}
		if !t.compareSome(r, from, &found) {
			return rest{}
		}
	}
	found.known = true
	return found
}

func (t *Table) compareSome(r *Registration, from int, found *rest) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b := t.st.byName[r.Name]
	if b == nil || len(b.topics) == 0 || from > 0 && found.changes != t.st.changes {
		return false
	}
	found.changes = t.st.changes
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
			found.places = append(found.places, int32(i))
		}
	}
	return len(found.places) <= to/4 // of more, looking twice costs more than it saves
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
