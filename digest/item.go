package digest

import (
	"cmp"
	"maps"

	"github.com/cespare/xxhash/v2"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/order"
)

// buckets is into how many parts items are divided by the hash of their key.
const buckets = 64

// Limits. What does not fit is counted, never sent in part without saying so.
const (
	maxItems   = 8192 // of one node; of more, see cut
	MaxKey     = 640  // bytes of the strings of an item; of longer ones see fitting
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
	Long     bool   // it has been there for long: such items are compared first. It is this node's, and not sent
	Kept     uint8  // 1 + why a tombstone did not evict the registration (tombstone.Outcome); 0: there was none
	Hash     uint64 // of what is served
}

// same says that two nodes serve the same: why a tombstone was kept is no difference.
func (i *Item) same(o *Item) bool {
	return i.Version == o.Version && i.Topics == o.Topics && i.Writable == o.Writable && i.Hash == o.Hash
}

func (k *Key) size() int { return len(k.Cluster) + len(k.Name) + len(k.Addr) }

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

// Set is the items of one subject at one node, with hashes of one secret.
type Set struct {
	secret  Secret
	items   map[Key]Item // not to be changed
	sums    Sums
	root    uint64 // of sums
	skipped int    // items that are too many
}

// byKey are items by their keys, which fit into a message. A key that comes twice counts once.
func byKey(items []Item) map[Key]Item {
	all := make(map[Key]Item, len(items))
	for _, i := range items {
		i.Key = i.Key.fitting()
		all[i.Key] = i
	}
	return all
}

// newSet sums items up.
func newSet(items map[Key]Item, secret Secret) *Set {
	s := &Set{secret: secret, items: items}
	hashes := make(map[Key]uint64, len(items))
	for k := range items {
		hashes[k] = k.hash(&secret)
	}
	if len(items) > maxItems {
		s.cut(hashes)
	}
	for k, i := range s.items {
		h := hashes[k]
		s.sums[bucketOf(h)] += i.sum(&secret, h)
	}
	s.root = s.sums.root()
	return s
}

// cut leaves maxItems: first those that have been there for long, and of equals those whose keys have the lowest hashes, so that
// nodes choose the same ones, and whoever lacks the secret cannot choose.
func (s *Set) cut(hashes map[Key]uint64) {
	long := func(k Key) int {
		if s.items[k].Long {
			return 0
		}
		return 1
	}
	keys := order.Sorted(maps.Keys(s.items), func(a, b Key) int {
		return cmp.Or(cmp.Compare(long(a), long(b)), cmp.Compare(hashes[a], hashes[b]))
	})
	all := s.items
	s.items, s.skipped = make(map[Key]Item, maxItems), len(keys)-maxItems
	for _, k := range keys[:maxItems] {
		s.items[k] = all[k]
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
func Fold(digest uint64, i *Item) uint64 { return digest + i.sum(&none, i.Key.hash(&none)) }

var none Secret

// HashOf is the hash of a value, the same at every node.
func HashOf(value string) uint64 { return xxhash.Sum64String(value) }
