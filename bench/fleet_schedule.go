package bench

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

// event is one query of a plan: at is microseconds from the plan's start, what counts the queries of all clients
// (client c's j-th topic is number c*each+j), or the connections where a plan opens them.
type event struct {
	at   uint32
	what uint32
}

func byTime(a, b event) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.what, b.what))
}

// steadyPlan is one period of clients that each ask for their topics one after the other, from a time of their own.
func steadyPlan(clients, each int, period time.Duration, rng *rand.Rand) []event {
	return pollPlan(clients, each, period, period, rng)
}

// herdPlan is one poll of all clients within spread.
func herdPlan(clients, each int, spread time.Duration, rng *rand.Rand) []event {
	return pollPlan(clients, each, max(spread-time.Duration(each-1)*queryGap, time.Microsecond), spread, rng)
}

// pollPlan lets each client begin at a random time within begin; what would fall behind turn comes at its start.
func pollPlan(clients, each int, begin, turn time.Duration, rng *rand.Rand) []event {
	plan := make([]event, 0, clients*each)
	for c := range clients {
		at := rng.Int64N(begin.Microseconds())
		for j := range each {
			when := (at + int64(j)*queryGap.Microseconds()) % turn.Microseconds()
			plan = append(plan, event{at: uint32(when), what: uint32(c*each + j)})
		}
	}
	slices.SortFunc(plan, byTime)
	return plan
}

// spreadPlan is one event of each of n, at random times within spread.
func spreadPlan(n int, spread time.Duration, rng *rand.Rand) []event {
	plan := make([]event, n)
	for i := range plan {
		plan[i] = event{at: uint32(rng.Int64N(max(spread.Microseconds(), 1))), what: uint32(i)}
	}
	slices.SortFunc(plan, byTime)
	return plan
}

// zipf draws from n things of which the k-th is 1/k as popular as the first (Zipf's law with exponent 1, which
// math/rand's does not have).
type zipf struct {
	sums []float64 // of the weights of the first ones
	rng  *rand.Rand
}

func newZipf(n int, rng *rand.Rand) *zipf {
	z := &zipf{sums: make([]float64, n), rng: rng}
	sum := 0.0
	for k := range z.sums {
		sum += 1 / float64(k+1)
		z.sums[k] = sum
	}
	return z
}

func (z *zipf) draw() int {
	return min(sort.SearchFloat64s(z.sums, z.rng.Float64()*z.sums[len(z.sums)-1]), len(z.sums)-1)
}

// fleetTopics are the topics that each client polls, each different ones: client c's are [c*each:(c+1)*each].
func fleetTopics(clients, each, topics int, rng *rand.Rand) []uint32 {
	z := newZipf(topics, rng)
	all := make([]uint32, 0, clients*each)
	for range clients {
		own := len(all)
		for len(all)-own < each {
			if t := uint32(z.draw()); !slices.Contains(all[own:], t) {
				all = append(all, t)
			}
		}
	}
	return all
}

// meter counts the queries that were to be sent within a window, and what became of them.
type meter struct {
	from, to int64     // nanoseconds of the crowd's clock
	latency  histogram // from the intended start to the answer
	lag      histogram // from the intended start until the query was handed to the kernel: the generator's own
	meant    int64     // queries that were to be sent
	answered int64     // with the right answer
	wrong    int64     // with another one
	slow     int64     // answered later than a client waits
	ended    int64     // could not be sent, or their connection was lost: no answer will come
	last     int64     // when the last answer came
}

func newMeter(from, to int64) *meter {
	return &meter{from: from, to: to, latency: newHistogram(), lag: newHistogram()}
}

func (m *meter) in(start int64) bool { return start >= m.from && start < m.to }

// sent books a query that was to be sent at start and was tried at now.
func (m *meter) sent(start, now int64) {
	if m.in(start) {
		m.meant++
		m.lag.record(time.Duration(now - start))
	}
}

// landed books an answer.
func (m *meter) landed(start, now int64, right bool) {
	if !m.in(start) {
		return
	}
	m.last = now
	if !right {
		m.wrong++
		return
	}
	m.answered++
	took := time.Duration(now - start)
	m.latency.record(took)
	if took > clientPatience {
		m.slow++
	}
}

// end books a query that will not be answered.
func (m *meter) end(start int64) {
	if m.in(start) {
		m.ended++
	}
}

// failed is how many queries have not been answered rightly (yet).
func (m *meter) failed() int64 { return m.meant - m.answered }

// done says that nothing more can come.
func (m *meter) done(now int64) bool { return now >= m.to && m.answered+m.wrong+m.ended >= m.meant }
