package routes

import (
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/puzpuzpuz/xsync/v4"
)

// topicTable is T with its indexes. It is made to be small: a topic's name is stored once, a queue setting once for all
// entries that have it, and an entry takes 12 bytes, and 4 more in its broker's list.
type topicTable struct {
	names      *xsync.Map[string, *topic] // written under the table's lock, read without it
	topics     []*topic                   // by id; nil where free
	freeTopics []uint32

	brokers     []*broker // by index; nil where free
	freeBrokers []uint32

	settings     []setting // by number
	settingOf    map[Queue]uint32
	freeSettings []uint32

	changes uint64 // of entries, ever; see comparison

	cache cache

	edition uint64 // grows with every change of what Serving lists
	size    int64  // bytes, see size.go
}

// topic is one row of T. Its cache may be read without a lock.
type topic struct {
	name    string
	entries []entry // sorted by broker
	id      uint32
	payer   uint32 // index of the broker on whose account it is, which offers it
	gen     uint32 // changes whenever its route does; tells a reader that what it made is out of date
	cache   [2]atomic.Pointer[encoded]
}

// entry is what one broker offers for a topic.
type entry struct {
	broker  uint32 // index
	setting uint32
	pos     uint32 // of the topic's id in the broker's list
}

// setting is a queue setting and the number of entries that have it.
type setting struct {
	Queue
	uses uint32
}

// change is what became of an entry.
type change uint8

const (
	unchanged change = iota
	added
	changed
)

// lookup finds a topic by a name that may alias a frame.
func (tt *topicTable) lookup(name []byte) *topic {
	// The map keeps no key of a Load, so the string may share the caller's bytes.
	t, _ := tt.names.Load(unsafe.String(unsafe.SliceData(name), len(name)))
	return t
}

func (t *topic) find(broker uint32) (int, bool) {
	return slices.BinarySearchFunc(t.entries, broker, func(e entry, b uint32) int { return int(e.broker) - int(b) })
}

// numberOf returns the number of a queue setting and counts one more use.
func (tt *topicTable) numberOf(q Queue) uint32 {
	n, ok := tt.settingOf[q]
	if !ok {
		if last := len(tt.freeSettings) - 1; last >= 0 {
			n, tt.freeSettings = tt.freeSettings[last], tt.freeSettings[:last]
			tt.settings[n] = setting{Queue: q}
		} else {
			n = uint32(len(tt.settings))
			tt.settings = append(tt.settings, setting{Queue: q})
		}
		tt.settingOf[q] = n
		tt.size += sizeOfSetting
	}
	tt.settings[n].uses++
	return n
}

func (tt *topicTable) release(n uint32) {
	tt.settings[n].uses--
	if tt.settings[n].uses == 0 {
		delete(tt.settingOf, tt.settings[n].Queue)
		tt.size -= sizeOfSetting
		tt.freeSettings = append(tt.freeSettings, n)
	}
}

// addTopic makes a topic without entries; the caller adds one at once.
func (tt *topicTable) addTopic(name string) *topic {
	t := &topic{name: name}
	if last := len(tt.freeTopics) - 1; last >= 0 {
		t.id, tt.freeTopics = tt.freeTopics[last], tt.freeTopics[:last]
		tt.topics[t.id] = t
	} else {
		t.id = uint32(len(tt.topics))
		tt.topics = append(tt.topics, t)
	}
	return t
}

// put sets what a broker offers for a topic.
func (tt *topicTable) put(t *topic, b *broker, q Queue) change {
	i, ok := t.find(b.index)
	if ok {
		if tt.settings[t.entries[i].setting].Queue == q {
			return unchanged
		}
		b.tally.remove(t.name, tt.settings[t.entries[i].setting].Queue)
		b.tally.add(t.name, q)
		tt.edition++
		n := tt.numberOf(q)
		tt.release(t.entries[i].setting)
		t.entries[i].setting = n
		tt.changes++
		tt.invalidate(t)
		return changed
	}
	t.entries = insertEntry(t.entries, i, entry{broker: b.index, setting: tt.numberOf(q), pos: uint32(len(b.topics))})
	b.topics = append(b.topics, t.id)
	b.tally.add(t.name, q)
	tt.charge(b, sizeOfEntry)
	tt.edition++
	tt.changes++
	tt.invalidate(t)
	if len(t.entries) == 1 {
		t.payer = b.index
		tt.charge(b, t.size())
		tt.names.Store(t.name, t) // only now may readers see it
	}
	return added
}

// insertEntry grows by little: most topics keep the width they have.
func insertEntry(list []entry, i int, e entry) []entry {
	if len(list) < cap(list) {
		return slices.Insert(list, i, e)
	}
	grown := append([]entry(nil), make([]entry, len(list)+1)...) // takes all of the size class
	copy(grown, list[:i])
	grown[i] = e
	copy(grown[i+1:], list[i:])
	return grown
}

// erase removes entry i of a topic, and the topic with its last entry.
func (tt *topicTable) erase(t *topic, i int) {
	e := t.entries[i]
	b := tt.brokers[e.broker]
	last := len(b.topics) - 1
	if moved := b.topics[last]; int(e.pos) != last {
		b.topics[e.pos] = moved
		m := tt.topics[moved]
		j, _ := m.find(b.index)
		m.entries[j].pos = e.pos
	}
	b.topics = b.topics[:last]
	tt.drop(t, i)
	b.erased++
}

// drop is erase without the broker's side.
func (tt *topicTable) drop(t *topic, i int) {
	b := tt.brokers[t.entries[i].broker]
	b.tally.remove(t.name, tt.settings[t.entries[i].setting].Queue)
	tt.charge(b, -sizeOfEntry)
	tt.edition++
	tt.release(t.entries[i].setting)
	t.entries = slices.Delete(t.entries, i, i+1)
	if t.payer == b.index {
		tt.charge(b, -t.size())
		if len(t.entries) > 0 {
			t.payer = t.entries[0].broker
			tt.charge(tt.brokers[t.payer], t.size())
		}
	}
	tt.changes++
	tt.invalidate(t)
	if len(t.entries) == 0 {
		tt.names.Delete(t.name)
		tt.topics[t.id] = nil
		tt.freeTopics = append(tt.freeTopics, t.id)
	}
}

// eraseTopic removes a topic with all its entries.
func (tt *topicTable) eraseTopic(t *topic) {
	for len(t.entries) > 0 {
		tt.erase(t, len(t.entries)-1)
	}
}

// eraseBroker removes all entries of a broker.
func (tt *topicTable) eraseBroker(b *broker) {
	for _, id := range b.topics {
		t := tt.topics[id]
		i, _ := t.find(b.index)
		tt.drop(t, i)
	}
	b.erased += uint64(len(b.topics))
	b.topics = nil
}

// setPerms changes the permission of all entries of a broker and returns how many changed.
func (tt *topicTable) setPerms(b *broker, to func(perm int32) int32) int {
	n := 0
	for _, id := range b.topics {
		t := tt.topics[id]
		i, _ := t.find(b.index)
		q := tt.settings[t.entries[i].setting].Queue
		q.Perm = to(q.Perm)
		if tt.put(t, b, q) == changed {
			n++
		}
	}
	return n
}

func wipeWrite(perm int32) int32 { return perm &^ PermWrite }

// touch makes the routes of all topics of a broker anew, after its entry in A changed.
func (tt *topicTable) touch(b *broker) {
	tt.edition++
	for _, id := range b.topics {
		tt.invalidate(tt.topics[id])
	}
}

// addBroker gives a broker its index.
func (tt *topicTable) addBroker(b *broker) {
	tt.charge(b, sizeOfBroker+len(b.name))
	if last := len(tt.freeBrokers) - 1; last >= 0 {
		b.index, tt.freeBrokers = tt.freeBrokers[last], tt.freeBrokers[:last]
		tt.brokers[b.index] = b
		return
	}
	b.index = uint32(len(tt.brokers))
	tt.brokers = append(tt.brokers, b)
}

// freeBroker takes the index of a broker without entries back.
func (tt *topicTable) freeBroker(b *broker) {
	tt.charge(b, -(sizeOfBroker + len(b.name)))
	tt.brokers[b.index] = nil
	tt.freeBrokers = append(tt.freeBrokers, b.index)
}
