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
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if !s.Open() {
			s.Fail("topic config is null")
			return
		}
		reg.Topics = append(reg.Topics, TopicConfig{Key: key, ReadQueueNums: defaultQueues,
			WriteQueueNums: defaultQueues, Perm: defaultPerm})
		d.topicConfig(&reg.Topics[len(reg.Topics)-1])
		if d.Yield != nil && len(reg.Topics)%yieldEvery == 0 {
			d.Yield()
		}
	}
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

// dedupe keeps, of several topics of one key, the place of the first and the content of the last.
func (d *RegisterDecoder) dedupe() {
	topics := d.reg.Topics
	if len(topics) < 2 {
		return
	}
	d.index.reset(len(topics))
	kept := topics[:0]
	for _, t := range topics {
		if at := d.index.place(kept, t.Key); at < len(kept) {
			kept[at] = t
		} else {
			kept = append(kept, t)
		}
	}
	d.reg.Topics = kept
}

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

// place is the position of key among topics; if it is new, that is their number, and will be found next time.
func (x *keyIndex) place(topics []TopicConfig, key []byte) int {
	mask := len(x.slots) - 1
	for i := int(maphash.Bytes(x.seed, key)) & mask; ; i = (i + 1) & mask {
		at := int(x.slots[i]) - 1
		if at < 0 {
			x.slots[i] = int32(len(topics) + 1)
			return len(topics)
		}
		if string(topics[at].Key) == string(key) {
			return at
		}
	}
}
