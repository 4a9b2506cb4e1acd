package routes

import (
	"sync"
	"sync/atomic"
)

// cache counts the encoded routes that hang at the topics.
//
// A route is put there under the table's read lock, after a look at the topic's gen, and taken away under the write lock
// together with the change that makes it untrue. So a reader that finds one finds a true one, and bytes that were
// made before a change can never be put there after it.
type cache struct {
	budget int64
	bytes  atomic.Int64
	count  atomic.Int64
	epoch  atomic.Uint64 // of everything that changes all routes: options, order configuration
	hand   atomic.Uint64 // where the next eviction looks
}

// encoded is the bytes of a route. used says that it was read since an eviction last passed by.
type encoded struct {
	body  []byte
	epoch uint64
	used  atomic.Bool
}

const (
	encodedOverhead = 64 // of one encoded route beside its bytes
	evictionSteps   = 64 // topics that one reader looks at to make room
)

func (e *encoded) size() int64 { return int64(cap(e.body)) + encodedOverhead }

// dialect is the place of a topic's cached bytes.
func dialect(standard bool) int {
	if standard {
		return 1
	}
	return 0
}

// invalidate says that the route of a topic is another one now. Only under the write lock.
func (tt *topicTable) invalidate(t *topic) {
	t.gen++
	for v := range t.cache {
		if t.cache[v].Load() != nil {
			tt.swap(t, v, nil)
		}
	}
}

// swap puts an encoded route, or nil, in the place of another and keeps count. The bytes of e are already counted.
func (tt *topicTable) swap(t *topic, v int, e *encoded) {
	old := t.cache[v].Swap(e)
	if e != nil {
		tt.cache.count.Add(1)
	}
	if old != nil {
		tt.cache.count.Add(-1)
		tt.cache.bytes.Add(-old.size())
	}
}

// makeRoom reserves size bytes of the budget. Where the budget is spent it takes away routes that were not read since it
// last passed by, for a bounded number of steps: better no cached route than a slow reader. Under the read lock.
func (tt *topicTable) makeRoom(size int64) bool {
	if tt.cache.bytes.Add(size) <= tt.cache.budget {
		return true
	}
	for range evictionSteps {
		t := tt.topics[tt.cache.hand.Add(1)%uint64(len(tt.topics))]
		if t == nil {
			continue
		}
		for v := range t.cache {
			old := t.cache[v].Load()
			if old == nil || old.used.Swap(false) && old.epoch == tt.cache.epoch.Load() {
				continue
			}
			if t.cache[v].CompareAndSwap(old, nil) {
				tt.cache.count.Add(-1)
				tt.cache.bytes.Add(-old.size())
			}
		}
		if tt.cache.bytes.Load() <= tt.cache.budget {
			return true
		}
	}
	tt.cache.bytes.Add(-size)
	return false
}

// Route returns the encoded route of a topic, or false when there is none (code 105). The bytes are shared and must not be
// changed. Where the route was made before and nothing has changed since, it takes no lock and allocates nothing.
func (t *Table) Route(topic []byte, standard bool) (body []byte, ok bool) {
	tp := t.st.lookup(topic)
	if tp == nil {
		return nil, false
	}
	e := tp.cache[dialect(standard)].Load()
	if e == nil || e.epoch != t.st.cache.epoch.Load() {
		return t.makeRoute(topic, standard)
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e.body, true
}

// RouteInfo returns the route of a topic as data, never from the cache: for answers that are not cached.
func (t *Table) RouteInfo(topic []byte) (*Route, bool) {
	r, _, _ := t.pickUp(topic)
	return r, r != nil
}

// InvalidateAll makes every route be made anew: the order configuration has changed.
func (t *Table) InvalidateAll() { t.st.cache.epoch.Add(1) }

// pickUp makes a route with what is needed to tell later whether it is still true.
func (t *Table) pickUp(topic []byte) (r *Route, tp *topic, gen uint32) {
	t.mu.RLock()
	if tp = t.st.lookup(topic); tp != nil {
		r, gen = t.st.route(tp), tp.gen
	}
	t.mu.RUnlock()
	if r != nil && t.cfg.OrderConf != nil {
		r.Order.S, r.Order.Valid = t.cfg.OrderConf(r.Topic)
	}
	return r, tp, gen
}

// scratch lends buffers to encode in, so that what is kept has exactly the size it needs.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// maxScratch keeps one giant route from staying in the pool.
const maxScratch = 1 << 20

func (t *Table) makeRoute(topic []byte, standard bool) ([]byte, bool) {
	epoch := t.st.cache.epoch.Load() // before anything it covers is read
	r, tp, gen := t.pickUp(topic)
	if r == nil {
		return nil, false
	}
	buf := scratch.Get().(*[]byte)
	*buf = t.cfg.Encode((*buf)[:0], r, standard)
	e := &encoded{body: append([]byte(nil), *buf...), epoch: epoch}
	if cap(*buf) <= maxScratch {
		scratch.Put(buf)
	}
	t.keep(tp, gen, dialect(standard), e)
	return e.body, true
}

// keep caches an encoded route unless it is out of date, or a writer is at work, or there is no room.
func (t *Table) keep(tp *topic, gen uint32, v int, e *encoded) {
	if e.size() > t.st.cache.budget || !t.mu.TryRLock() {
		return
	}
	defer t.mu.RUnlock()
	if tp.gen == gen && t.st.makeRoom(e.size()) {
		t.st.swap(tp, v, e)
	}
}
