package routes

import (
	"cmp"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/order"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Serving is what this node serves for one address of a broker, in few bytes: two nodes that serve the same have the
// same Hash. It is kept up to date as entries change, so that nobody has to walk the topics for it.
type Serving struct {
	Cluster, Name, Addr string
	ID                  int64
	DataVersion         DataVersion
	Topics              int    // of the broker name
	Writable            int    // of those, how many may be written to
	Hash                uint64 // of the broker name's topics with their queue settings, its zone and its acting-master flag
	Kept                tombstone.Outcome
	HasKept             bool        // a tombstone was kept here; Kept says why
	Since               clock.Stamp // first registration since it was last gone
}

// TopicHash is one topic of a broker and the hash of its queue setting.
type TopicHash struct {
	Topic string
	Hash  uint64
}

// tally is the sum of hashes of a broker's entries, and the number of those that may be written to. A sum does not
// depend on the order, and one entry is added or taken away without looking at the others.
type tally struct {
	sum      uint64
	writable int32
}

func (t *tally) add(topic string, q Queue) {
	t.sum += queueHash(topic, q)
	if q.Perm&PermWrite != 0 {
		t.writable++
	}
}

func (t *tally) remove(topic string, q Queue) {
	t.sum -= queueHash(topic, q)
	if q.Perm&PermWrite != 0 {
		t.writable--
	}
}

// queueHash is the same at every node and in every release: nodes compare sums of it.
func queueHash(topic string, q Queue) uint64 {
	h := mix(xxhash.Sum64String(topic) ^ (uint64(uint32(q.Read)) | uint64(uint32(q.Write))<<32))
	return mix(h ^ (uint64(uint32(q.Perm)) | uint64(uint32(q.SysFlag))<<32))
}

// mix is MurmurHash3's finalizer: every bit of x changes about half of the bits of the result.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// hash is a broker's tally with what else of it shows in routes.
func (b *broker) hash() uint64 {
	flags := uint64(0)
	if b.acting {
		flags = 1
	}
	if b.zone.Valid {
		flags |= 2
	}
	var d [16]byte
	binary.LittleEndian.PutUint64(d[:], b.tally.sum)
	binary.LittleEndian.PutUint64(d[8:], xxhash.Sum64String(b.zone.S)^flags)
	return xxhash.Sum64(d[:])
}

// Serving lists what the node serves for each address, sorted by cluster, name, id and address. version changes with
// every change of the list; when it is still last, nothing is listed and changed is false. It costs nothing per topic.
func (t *Table) Serving(last uint64) (list []Serving, version uint64, changed bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.st.edition == last {
		return nil, last, false
	}
	return t.st.serving(), t.st.edition, true
}

func (s *state) serving() []Serving {
	list := make([]Serving, 0, len(s.lives))
	for _, b := range s.byName {
		hash := b.hash()
		for _, m := range b.members {
			list = append(list, Serving{
				Cluster: m.live.key.Cluster, Name: b.name, Addr: m.addr, ID: m.id, DataVersion: m.live.data,
				Topics: len(b.topics), Writable: int(b.tally.writable), Hash: hash,
				Kept: m.live.kept.Outcome, HasKept: !m.live.keptAt.IsZero(), Since: m.live.since,
			})
		}
	}
	order.By(list, func(a, b Serving) int {
		return cmp.Or(
			cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.ID, b.ID), cmp.Compare(a.Addr, b.Addr),
		)
	})
	return list
}

// Owned says whether a connection owns a claim on a registration, and since when its source has had the eldest of them.
func (t *Table) Owned(conn uint64) (since clock.Stamp, owns bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	refs := t.st.conns[conn]
	if refs == nil {
		return since, false
	}
	for e := range refs.lives {
		if c := e.ownedBy(conn); !owns || c.since.Before(since) {
			since, owns = c.since, true
		}
	}
	return since, owns
}

// RegisteredFrom says whether that source has a claim on the registration of that key.
func (t *Table) RegisteredFrom(cluster, addr string, source mq.Source) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.st.visible(tombstone.Key{Cluster: cluster, Addr: addr})
	return e != nil && e.claimOf(source) != nil
}

// TopicHashes lists the topics of a broker name, in no order. It walks them: for one broker that somebody asks about.
func (t *Table) TopicHashes(name string) []TopicHash {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b := t.st.byName[name]
	if b == nil {
		return nil
	}
	list := make([]TopicHash, 0, len(b.topics))
	for _, id := range b.topics {
		tp := t.st.topics[id]
		i, _ := tp.find(b.index)
		list = append(list, TopicHash{tp.name, queueHash(tp.name, t.st.settings[tp.entries[i].setting].Queue)})
	}
	return list
}
