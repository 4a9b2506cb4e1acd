package claims

import "sync"

// prints is a set of fingerprints in shards with open addressing: eleven bytes for each.
type prints struct {
	shard [64]shard
	trace bool
}

type shard struct {
	mu    sync.Mutex
	slots []uint64 // 0: free
	n     int
	from  map[uint64]way
}

// way says from which world a step led to another.
type way struct {
	from uint64
	step Step
}

func newPrints(trace bool) *prints { return &prints{trace: trace} }

func (p *prints) of(h uint64) *shard { return &p.shard[h>>58] }

// add says that h is new.
func (p *prints) add(h uint64, w way) bool {
	h = max(h, 1)
	s := p.of(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if 4*s.n >= 3*len(s.slots) {
		old := s.slots
		s.slots, s.n = make([]uint64, max(1<<8, 2*len(old))), 0
		for _, o := range old {
			if o != 0 {
				s.put(o)
			}
		}
	}
	if !s.put(h) {
		return false
	}
	if p.trace {
		if s.from == nil {
			s.from = map[uint64]way{}
		}
		s.from[h] = w
	}
	return true
}

func (s *shard) put(h uint64) bool {
	mask := uint64(len(s.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case 0:
			s.slots[i] = h
			s.n++
			return true
		case h:
			return false
		}
	}
}

func (p *prints) len() (n int) {
	for i := range p.shard {
		n += p.shard[i].n
	}
	return n
}

// way are the steps to a world, if they were traced.
func (p *prints) way(h uint64) (steps []Step) {
	for {
		h = max(h, 1)
		s := p.of(h)
		s.mu.Lock()
		w, known := s.from[h]
		s.mu.Unlock()
		if !known || w.from == 0 {
			break
		}
		steps = append([]Step{w.step}, steps...)
		h = w.from
	}
	return steps
}
