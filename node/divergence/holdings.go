package divergence

import (
	"slices"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/kvconfig"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Holdings is what a node tells of itself in digests: sums and hashes, never a route, an address's topic or a value.
type Holdings struct {
	Table   *routes.Table
	KVStore *kvconfig.Store
	Runtime *config.Runtime
	Stand   func() digest.Standing // where the node stands
	Clock   func() clock.Stamp

	// What Own said the last time; only Own touches these, and only one goroutine calls it at a time.
	said    bool
	own     digest.Own
	version uint64 // of the tables
	kvGen   uint64
	live    *config.Options
}

var _ gossip.Holdings = (*Holdings)(nil)

// ownOptions differ from node to node by nature.
var ownOptions = []string{"rocketmqHome", "kvConfigPath", "configStorePath", "bindAddress", "listenPort"}

// Own is what the node holds, and whether that is new.
func (h *Holdings) Own() (own digest.Own, changed bool) {
	list, version, served := h.Table.Serving(h.version)
	kvGen, live := h.KVStore.Generation(), h.Runtime.Options()
	if h.said && !served && kvGen == h.kvGen && live == h.live {
		return h.own, false
	}
	if served {
		now := h.Clock()
		h.version, h.own.Brokers = version, make([]digest.Item, len(list))
		for i := range list {
			s := &list[i]
			it := &h.own.Brokers[i]
			it.Key = digest.Key{Cluster: s.Cluster, Name: s.Name, Addr: s.Addr, ID: s.ID}
			it.Version, it.Long = s.DataVersion, now.Sub(s.Since) >= tombstone.KnownLong
			it.Topics, it.Writable, it.Hash = uint32(s.Topics), uint32(s.Writable), s.Hash
			if s.HasKept {
				it.Kept = 1 + uint8(s.Kept)
			}
		}
	}
	if !h.said || kvGen != h.kvGen {
		h.kvGen, h.own.KV = kvGen, 0
		for name, value := range h.KVStore.All() {
			h.own.KV = digest.Fold(h.own.KV, kvItem(name, value))
		}
	}
	if live != h.live {
		h.live, h.own.Options = live, 0
		for _, it := range h.options(live) {
			h.own.Options = digest.Fold(h.own.Options, &it)
		}
	}
	h.said = true
	return h.own, true
}

func kvItem(name [2]string, value string) *digest.Item {
	return &digest.Item{Key: digest.Key{Cluster: name[0], Name: name[1]}, Hash: digest.HashOf(value)}
}

// options are the original's options, which hold no secret: code 319 shows them to everybody.
func (h *Holdings) options(live *config.Options) (items []digest.Item) {
	for name, text := range live.All() {
		if !slices.Contains(ownOptions, name) {
			items = append(items, digest.Item{Key: digest.Key{Name: name}, Hash: digest.HashOf(text)})
		}
	}
	return items
}

// Items is asked when somebody compares topics, KV keys or options.
func (h *Holdings) Items(subject digest.Subject, name string) (items []digest.Item) {
	switch subject {
	case digest.Topics:
		for _, t := range h.Table.TopicHashes(name) {
			items = append(items, digest.Item{Key: digest.Key{Name: t.Topic}, Hash: t.Hash})
		}
	case digest.KV:
		for name, value := range h.KVStore.All() {
			items = append(items, *kvItem(name, value))
		}
	case digest.Options:
		items = h.options(h.Runtime.Options())
	}
	return items
}

// Standing is where the node stands.
func (h *Holdings) Standing() digest.Standing { return h.Stand() }
