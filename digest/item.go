package digest

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/epitaph-mq/epitaph/mq"
)

// buckets is into how many parts items are divided by the hash of their key.
const buckets = 64

// Limits. What does not fit is counted, never sent in part without saying so.
const (
	maxItems   = 8192 // of one node; of more, those with the lowest hashes of keys, so that nodes choose the same ones
	MaxKey     = 640  // bytes of the strings of an item
	MaxSubject = 600  // bytes of a subject's name
)

// Key says what an item is about: a broker address, or with other subjects a topic (Name), a KV entry (Cluster is its
// namespace, Name its key) or an option (Name).
type Key struct {
	Cluster, Name, Addr string
	ID                  int64
}

// Item is what a node says of one key. Everything but Hash is there for brokers only.
type Item struct {
	Key
	Version  mq.DataVersion
	Topics   uint32
	Writable uint32
	Kept     uint8  // 1 + why a tombstone did not evict the registration (tombstone.Outcome); 0: there was none
	Hash     uint64 // of what is served
}

// same says that two nodes serve the same: why a tombstone was kept is no difference.
func (i *Item) same(o *Item) bool {
	return i.Version == o.Version && i.Topics == o.Topics && i.Writable == o.Writable && i.Hash == o.Hash
}

func (k *Key) size() int { return len(k.Cluster) + len(k.Name) + len(k.Addr) }

// hash is the same at every node and in every release.
func (k *Key) hash() uint64 {
	d := xxhash.New()
	var n [8]byte
	for _, s := range []string{k.Cluster, k.Name, k.Addr} {
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		_, _ = d.Write(n[:])
		_, _ = d.WriteString(s)
	}
	binary.LittleEndian.PutUint64(n[:], uint64(k.ID))
	_, _ = d.Write(n[:])
	return d.Sum64()
}

func (i *Item) sum(key uint64) uint64 {
	var b [8 * 7]byte
	for n, v := range []uint64{
		key, uint64(i.Version.StateVersion), uint64(i.Version.Timestamp), uint64(i.Version.Counter),
		uint64(i.Topics)<<32 | uint64(i.Writable), uint64(i.Kept), i.Hash,
	} {
		binary.LittleEndian.PutUint64(b[8*n:], v)
	}
	return xxhash.Sum64(b[:])
}

// bucketOf is the bucket of a key's hash.
func bucketOf(key uint64) int { return int(key >> 58) }

// Sums are the sums of a set's buckets.
type Sums [buckets]uint64

func (s *Sums) root() (root uint64) {
	for _, b := range s {
		root += b
	}
	return root
}

// Set is the items of one subject at one node.
type Set struct {
	items   map[Key]Item
	sums    Sums
	root    uint64 // of sums
	skipped int    // items that are too long, or too many
}

// newSet sums items up. A key that comes twice counts once.
func newSet(items []Item) *Set {
	s := &Set{items: make(map[Key]Item, min(len(items), maxItems))}
	hashes := make(map[Key]uint64, len(s.items))
	for i := range items {
		if items[i].size() > MaxKey {
			s.skipped++
			continue
		}
		s.items[items[i].Key] = items[i]
		hashes[items[i].Key] = items[i].Key.hash()
	}
	if len(s.items) > maxItems {
		s.cut(hashes)
	}
	for k, i := range s.items {
		h := hashes[k]
		s.sums[bucketOf(h)] += i.sum(h)
	}
	s.root = s.sums.root()
	return s
}

// cut leaves the maxItems keys with the lowest hashes.
func (s *Set) cut(hashes map[Key]uint64) {
	keys := slices.SortedFunc(maps.Keys(s.items), func(a, b Key) int { return cmp.Compare(hashes[a], hashes[b]) })
	for _, k := range keys[maxItems:] {
		delete(s.items, k)
		s.skipped++
	}
}

// Root is the sum of all hashes.
func (s *Set) Root() uint64 { return s.root }

// Len is the number of items.
func (s *Set) Len() int { return len(s.items) }

// differing are the buckets of mask whose sums are not those of other.
func (s *Set) differing(other *Sums, mask uint64) (differ uint64) {
	for b := range buckets {
		if mask&(1<<b) != 0 && s.sums[b] != other[b] {
			differ |= 1 << b
		}
	}
	return differ
}

// Fold adds an item to the digest of something that is compared as a whole, such as the KV store: start with 0. The
// order does not matter.
func Fold(digest uint64, i *Item) uint64 { return digest + i.sum(i.Key.hash()) }

// HashOf is the hash of a value, the same at every node.
func HashOf(value string) uint64 { return xxhash.Sum64String(value) }
