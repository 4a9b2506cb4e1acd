package routes

import (
	"net/netip"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// Encoder appends the bytes of a route to dst: with quoted numeric keys when standard is true. It must not keep r.
type Encoder func(dst []byte, r *Route, standard bool) []byte

// Config is what a Table is made of.
type Config struct {
	// Clock is read inside the table's lock. Required.
	Clock func() clock.Stamp
	// Encode makes the bytes that Route returns. Required.
	Encode Encoder
	// OrderConf is asked for orderTopicConf whenever a route is made; nil means there is none. When what it would
	// answer has changed, InvalidateAll must be called afterwards. It must not call the Table.
	OrderConf func(topic string) (conf string, ok bool)
	// CacheBytes is the budget for encoded routes. Zero keeps none.
	CacheBytes int64
	// AsideBytes is the budget for what is kept of registrations that vanished hosts lost, so that it can be put back. Zero keeps none.
	AsideBytes int64
	// TombstoneTTL is how long the owner of a registration that a tombstone evicted is remembered.
	TombstoneTTL time.Duration
	Options      Options
}

// DefaultCacheBytes is the budget for encoded routes that fits 100,000 topics of ten brokers each, read by few clients.
const DefaultCacheBytes = 64_000_000

// Table is the routing tables behind one lock. All methods may be called from any goroutine.
type Table struct {
	cfg Config
	mu  sync.RWMutex
	st  *state
}

// New makes empty tables.
func New(cfg Config) *Table {
	t := &Table{cfg: cfg, st: newState(cfg.Options, cfg.TombstoneTTL, cfg.CacheBytes)}
	t.st.asideBudget = cfg.AsideBytes
	return t
}

// Register applies a registration (RouteInfoManager.registerBroker).
func (t *Table) Register(r *Registration) (RegisterResult, Effects) {
	known := t.compare(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.register(r, known, t.cfg.Clock())
}

// RegisterUnchanged applies a registration whose body has the fingerprint r.Print without knowing what the body says. It
// does so only where parsing and applying it would give the same tables; otherwise ok is false, nothing has changed,
// and the caller parses the body and calls Register.
func (t *Table) RegisterUnchanged(r *Registration) (res RegisterResult, eff Effects, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.registerUnchanged(r, t.cfg.Clock())
}

// Unregister applies an UNREGISTER and says whether it makes a tombstone (RouteInfoManager.unRegisterBroker).
func (t *Table) Unregister(u *Unregistration) (Left, Effects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.unregister(u, t.cfg.Clock())
}

// ConnLost ends every claim that the connection owns, and the registrations that nobody else claims
// (RouteInfoManager.onChannelDestroy).
func (t *Table) ConnLost(conn uint64) Effects {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.connLost(conn, t.cfg.Clock())
}

// Expire removes every registration that gave no sign of life for its timeout (RouteInfoManager.scanNotActiveBroker), and
// forgets remembered owners after Config.TombstoneTTL. Call it every scan interval.
func (t *Table) Expire() Effects {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.expire(t.cfg.Clock())
}

// Heartbeat refreshes a registration's last-seen time; false says that there is none (code 904).
func (t *Table) Heartbeat(cluster, addr string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.heartbeat(tombstone.Key{Cluster: cluster, Addr: addr}, t.cfg.Clock())
}

// QueryDataVersion compares a broker's data version with the stored one and refreshes the last-seen time (code 322). A nil
// version, and a broker that is not known, count as changed.
func (t *Table) QueryDataVersion(cluster, addr string, v *DataVersion) (stored DataVersion, known, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.queryDataVersion(tombstone.Key{Cluster: cluster, Addr: addr}, v, t.cfg.Clock())
}

// WipeWritePerm clears the write bit of every queue setting of a broker and returns how many it has (code 205).
func (t *Table) WipeWritePerm(broker string) (int, Effects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.writePerm(broker, false)
}

// AddWritePerm sets every queue setting of a broker to read and write and returns how many it has (code 327).
func (t *Table) AddWritePerm(broker string) (int, Effects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.writePerm(broker, true)
}

// DeleteTopic removes a topic, or, unless cluster is empty, its entries of the brokers of that cluster (code 216).
func (t *Table) DeleteTopic(topic, cluster string) Effects {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.deleteTopic(topic, cluster)
}

// RegisterTopics adds queue settings of known brokers to a topic (code 217). limit is Registration.Limit: with no room, nothing has
// changed.
func (t *Table) RegisterTopics(topic string, queues []TopicQueue, limit int64) (eff Effects, room bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.registerTopics(topic, queues, limit)
}

// Judge decides on a tombstone that another node proved, and evicts where the rule says so
// (docs/spec/tombstones.md#the-rule). It is what tombstone.Tables asks of an implementation: the clock is read, the rule
// evaluated and the registration removed under one hold of the lock.
func (t *Table) Judge(key tombstone.Key, id tombstone.Identity, lo tombstone.Bounds) (tombstone.Verdict, Effects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.judge(key, id, lo, t.cfg.Clock())
}

// Vanish takes the claim of a vanished host away if it is still as it was judged: the clock is read, the claim compared, its connection looked at and
// the claim taken under one hold of the lock.
func (t *Table) Vanish(v *Vanished) (Taken, Effects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.st.vanish(v, t.cfg.Clock())
}

// Holds says that a registration of a key exists.
func (t *Table) Holds(key tombstone.Key) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.visible(key) != nil
}

// Holders lists who claims a key, what shows first; none when it is not held.
func (t *Table) Holders(key tombstone.Key) []tombstone.Identity {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.holders(key)
}

// HeldBy says that a key is claimed by who.
func (t *Table) HeldBy(key tombstone.Key, who tombstone.Identity) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.heldBy(key, &who)
}

// SharedSources lists the addresses from which brokers of several advertised hosts have registered.
func (t *Table) SharedSources() []SharedSource {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.sharedSources()
}

// Claims says whether the source has a claim on a registration of the broker name.
func (t *Table) Claims(source mq.Source, broker string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b := t.st.byName[broker]
	return b != nil && t.st.claimsBroker(source, b)
}

// Size is Stats.Bytes.
func (t *Table) Size() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.size
}

// Held is what the tables take, about, in bytes, by the sources from which it was registered last.
func (t *Table) Held() map[netip.Addr]int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.held()
}

// Registrations lists the live table, sorted by cluster, name, id and address.
func (t *Table) Registrations() []Record {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.registrations()
}

// ClusterInfo lists all brokers and clusters (code 106).
func (t *Table) ClusterInfo() ClusterInfo {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.clusterInfo()
}

// MemberGroup lists the members of a broker; none when it is unknown (code 901).
func (t *Table) MemberGroup(broker string) []Member {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.memberGroup(broker)
}

// Topics lists all topics, in no order (code 206).
func (t *Table) Topics() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.allTopics()
}

// TopicsOfCluster lists the topics that any broker of the cluster serves, in no order (code 224).
func (t *Table) TopicsOfCluster(cluster string) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.topicsOfCluster(cluster)
}

// TopicsOfKind lists topics by system flag, in no order (codes 311, 312, 313).
func (t *Table) TopicsOfKind(kind TopicKind) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.topicsOfKind(kind)
}

// SystemTopics lists the names of all clusters and brokers, and the address of some broker (code 304).
func (t *Table) SystemTopics() (names []string, addr Opt) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.systemTopics()
}

// SetOptions changes the options. Everything read or written afterwards obeys them.
func (t *Table) SetOptions(o Options) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.setOptions(o)
}

// Stats returns the sizes of the tables.
func (t *Table) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.st.stats()
}
