package body

import "hash/maphash"

// Defaults of a topic config's absent members.
const (
	defaultQueues = 16
	defaultPerm   = 6
)

// yieldEvery is how many topics are read between two calls of RegisterDecoder.Yield: about 50 us of work.
const yieldEvery = 256

func (d *RegisterDecoder) topicTable() {
	s, reg := &d.s, &d.reg
	reg.Topics, reg.TopicTable = reg.Topics[:0], Null
	if !s.Open() {
		return
	}
	reg.TopicTable = Present
	d.index.reset(min(s.Len()/128, MaxTopics))
	read := 0
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if !s.Open() {
			s.Fail("topic config is null")
			return
		}
		t := d.topic(key)
		*t = TopicConfig{Key: key, ReadQueueNums: defaultQueues, WriteQueueNums: defaultQueues, Perm: defaultPerm}
		d.topicConfig(t)
		if len(t.Name) > MaxName && t != &d.beyond { // the place stays taken: it has been found by its key
			*t = TopicConfig{Key: key}
			d.cut++
		}
		if read++; !d.goOn(read) {
			return
		}
	}
}

// What a registration holds while it is read, in bytes: a quarter more than it needs, for so much long lists grow by.
const (
	heldTopic   = (80 + 72) * 5 / 4 // a TopicConfig, and what tables are given of it
	heldMapping = (136 + 64) * 5 / 4
	heldQueueID = 4 * 8
)

// goOn is called after each topic or mapping: it lets others have their turn, and says whether there is memory for more.
func (d *RegisterDecoder) goOn(read int) bool {
	if read%yieldEvery != 0 {
		return true
	}
	if d.Yield != nil {
		d.Yield()
	}
	if d.Hold == nil {
		return true
	}
	reg := &d.reg
	d.refused = !d.Hold(int64(heldTopic*len(reg.Topics) + heldMapping*len(reg.Mappings) + heldQueueID*(MaxTopics-d.queueIDs) +
		maxNames - d.texts + 2*max(len(d.scratch), len(d.s.Scratch())) + 4*len(d.index.slots)))
	if d.refused {
		d.s.Fail("there is no memory for more")
	}
	return !d.refused
}

// topic is where the topic of that key belongs: of several of one key, the place of the first and the content of the last
// count. What is beyond the limits goes where nobody looks.
func (d *RegisterDecoder) topic(key []byte) *TopicConfig {
	reg := &d.reg
	if len(key) <= MaxName {
		if at := d.index.place(reg.Topics, key, len(reg.Topics) < MaxTopics && len(d.scratch) < maxNames); at >= 0 {
			if at == len(reg.Topics) {
				reg.Topics = append(reg.Topics, TopicConfig{Key: key})
			}
			return &reg.Topics[at]
		}
	}
	d.cut++
	return &d.beyond
}

// topicConfig reads the members of one topic. Those that a NameServer ignores are checked as far as Java would
// refuse them.
func (d *RegisterDecoder) topicConfig(t *TopicConfig) {
	s := &d.s
	for name, ok := s.Name(); ok; name, ok = s.Name() {
		switch string(name) {
		case "attributes":
			s.SkipMap()
		case "order":
			s.Bool()
		case "perm":
			t.Perm, _ = s.Int32()
		case "readQueueNums":
			t.ReadQueueNums, _ = s.Int32()
		case "topicName":
			t.Name = s.String()
		case "topicSysFlag":
			t.TopicSysFlag, _ = s.Int32()
		case "writeQueueNums":
			t.WriteQueueNums, _ = s.Int32()
		default: // topicFilterType among them: what it says is not looked at
			s.Skip()
		}
	}
}

// keyIndex finds equal keys of a topic table: an open hash table of positions, used again for every body.
type keyIndex struct {
	slots []int32 // position + 1; 0 is free
	seed  maphash.Seed
}

// reset empties the index and makes room for n keys; more make it grow.
func (x *keyIndex) reset(n int) {
	size := 16
	for size < 2*n {
		size *= 2
	}
	if cap(x.slots) < size {
		x.slots = make([]int32, size)
		x.seed = maphash.MakeSeed()
	}
	x.slots = x.slots[:size]
	clear(x.slots)
}

// place is the position of key among topics. A new one gets their number if room says so, and will be found next time;
// otherwise it is -1.
func (x *keyIndex) place(topics []TopicConfig, key []byte, room bool) int {
	slot := x.slot(topics, key)
	if at := int(x.slots[slot]) - 1; at >= 0 {
		return at
	}
	if !room {
		return -1
	}
	if 2*(len(topics)+1) > len(x.slots) {
		x.reset(len(x.slots)) // twice the slots
		for i := range topics {
			x.slots[x.slot(topics, topics[i].Key)] = int32(i + 1)
		}
		slot = x.slot(topics, key)
	}
	x.slots[slot] = int32(len(topics) + 1)
	return len(topics)
}

// slot is where key stands or belongs.
func (x *keyIndex) slot(topics []TopicConfig, key []byte) int {
	mask := len(x.slots) - 1
	for i := int(maphash.Bytes(x.seed, key)) & mask; ; i = (i + 1) & mask {
		if at := int(x.slots[i]) - 1; at < 0 || string(topics[at].Key) == string(key) {
			return i
		}
	}
}
