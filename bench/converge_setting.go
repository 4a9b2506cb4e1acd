package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/tombstone"
)

// patience is how long the next departure waits for one that is not seen everywhere yet. After that both go on at once,
// so that NameServers that take minutes do not take hours.
const patience = 2 * time.Second

// SettingResult is what was measured of one setting. Times run from the answer to the UNREGISTER at the first node, in
// milliseconds, one for each departure that converged.
type SettingResult struct {
	Nodes     int     `json:"nodes"`
	Fault     Fault   `json:"fault"`
	Loss      float64 `json:"loss"`
	DelayMS   float64 `json:"delay_ms"`
	PartMS    float64 `json:"partition_ms,omitempty"`
	Gossip    bool    `json:"gossip"` // false: nodes that do not gossip, or NameServers that run elsewhere
	Brokers   int     `json:"brokers"`
	AskMS     float64 `json:"asked_every_ms"` // each node by its client
	LimitS    float64 `json:"limit_s"`        // a departure that took longer has not converged
	Trials    int     `json:"trials"`
	Converged int     `json:"converged"`

	Wire    Times `json:"wire"`    // until a route query at every other node no longer named the broker
	Decided Times `json:"decided"` // until the last node that missed it evicted, by the node's own stamp

	MessagesEach float64 `json:"messages_per_tombstone_and_member"`
	BytesEach    float64 `json:"bytes_per_tombstone_and_member"` // of tombstone messages, without memberlist's envelope
	Lost         int64   `json:"packets_lost"`                   // that loss or a partition took
	MembersGone  uint64  `json:"members_taken_for_dead"`
	Refuted      uint64  `json:"refuted_evictions"`
}

// Name tells the setting from the others of a run.
func (s *SettingResult) Name() string {
	name := fmt.Sprintf("%d nodes, ", s.Nodes)
	switch {
	case !s.Gossip && s.LimitS > 100:
		return strings.TrimSuffix(name, "nodes, ") + "NameServers elsewhere"
	case !s.Gossip:
		return name + "no gossip"
	}
	if s.Loss == 0 {
		name += "no loss"
	} else {
		name += fmt.Sprintf("%g %% loss", s.Loss*100)
	}
	if s.DelayMS > 0 {
		name += fmt.Sprintf(", %g ms delay", s.DelayMS)
	}
	if s.PartMS > 0 {
		name += fmt.Sprintf(", cut for %g s", s.PartMS/1e3)
	}
	if s.Fault != MissAllButOne {
		name += ", " + string(s.Fault)
	}
	return name
}

// setting is one running setting.
type setting struct {
	*SettingResult
	field     *field
	every     time.Duration
	partition time.Duration
	timeout   time.Duration
	patience  time.Duration
	progress  *Progress
	pools     []callers // by node
	rng       *rand.Rand

	mu    sync.Mutex // guards the results while departures run at once
	spare errgroup.Group
}

// newSetting prepares a setting on running nodes.
func newSetting(f *field, fault Fault, timeout time.Duration, seed uint64, p *Progress) *setting {
	n, budget := len(f.nodes), askBudget
	if f.net != nil {
		budget = askBudgetTold
	}
	return &setting{
		SettingResult: &SettingResult{Nodes: n, Fault: fault, Gossip: f.net != nil, Brokers: f.profile.Brokers, LimitS: timeout.Seconds()},
		field:         f, every: askEvery(n, budget), timeout: timeout, patience: patience, progress: p, pools: make([]callers, n),
		rng: rand.New(rand.NewPCG(seed, 7)),
	}
}

// run takes all departures of the plan. The result holds what was measured until ctx ended or a node failed.
func (s *setting) run(ctx context.Context, all []departure) error {
	s.AskMS = ms(s.every)
	defer func() {
		for i := range s.pools {
			s.pools[i].close()
		}
	}()
	sent, bytes, gone, refuted := s.counts()
	lost := int64(0)
	if s.field.net != nil {
		lost = s.field.net.Traffic().Lost
	}
	departed, err := 0, error(nil)
	for len(all) > 0 && ctx.Err() == nil && err == nil {
		batch := all[:min(len(all), s.field.profile.Brokers)]
		if s.Fault == Mass {
			batch = all[:1]
		}
		all = all[len(batch):]
		for _, d := range batch {
			departed += len(d.brokers)
		}
		err = s.batch(ctx, batch, len(all) > 0)
	}
	s.Wire.sum()
	s.Decided.sum()
	if s.Gossip && departed > 0 {
		sent2, bytes2, gone2, refuted2 := s.counts()
		pairs := float64(departed * (s.Nodes - 1))
		s.MessagesEach, s.BytesEach = float64(sent2-sent)/pairs, float64(bytes2-bytes)/pairs
		s.MembersGone, s.Refuted = gone2-gone, refuted2-refuted
		s.Lost = s.field.net.Traffic().Lost - lost
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *setting) counts() (sent, bytes, gone, refuted uint64) {
	f := s.field
	return f.sum(func(g *gossip.Gossip) uint64 { return g.Counts().Sent }),
		f.sum(func(g *gossip.Gossip) uint64 { return g.Counts().SentBytes }),
		f.sum(func(g *gossip.Gossip) uint64 { return g.Counts().MembersLost }),
		f.sum(func(g *gossip.Gossip) uint64 { return g.Counters().Refuted })
}

// batch registers all brokers afresh, and each leaves once.
func (s *setting) batch(ctx context.Context, all []departure, more bool) (err error) {
	brokers, err := s.field.register(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		if s.Gossip {
			collect()
		}
		if err = pause(ctx, d.pause); err != nil {
			break
		}
		if err = s.depart(ctx, brokers, d); err != nil {
			break
		}
		s.tell()
		if s.partition > 0 || s.Fault == OriginDies {
			if err = s.field.awaitMembers(ctx); err != nil {
				break
			}
		}
	}
	err = errors.Join(err, s.spare.Wait())
	closeBrokers(brokers)
	if err != nil {
		return err
	}
	if err = s.field.awaitEmpty(ctx); err == nil && more && s.Fault == Mass {
		// Tombstones of one address are limited to 100 a second (docs/spec/tombstones.md#limits).
		err = pause(ctx, time.Duration(len(brokers))*time.Second/90)
	}
	return err
}

func (s *setting) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress.Live("%s: %d departures, %d gone everywhere, newest after %s", s.Name(), s.Trials, s.Converged, s.Wire.newest())
}

// depart lets the brokers of d leave and notes when they were gone. One that takes long goes on being watched beside
// the next ones.
func (s *setting) depart(ctx context.Context, brokers []*broker, d departure) error {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	watchers := s.watchers(brokers, d)
	group, watching := errgroup.WithContext(ctx)
	var listed sync.WaitGroup
	for _, w := range watchers {
		listed.Add(1)
		once := sync.OnceFunc(listed.Done)
		group.Go(func() error {
			defer once()
			return w.run(watching, once)
		})
	}
	listed.Wait()
	if err := watching.Err(); err != nil {
		cancel()
		return errors.Join(group.Wait(), ctx.Err())
	}
	heal := s.cut(d)
	started := clock.Now()
	at, err := s.unregister(brokers, d)
	if err != nil {
		heal()
		cancel()
		return errors.Join(err, group.Wait())
	}
	done := make(chan error, 1)
	go func() {
		err := group.Wait()
		cancel()
		if err == nil && parent.Err() == nil {
			s.note(watchers, d, at, started)
		}
		done <- err
	}()
	if s.partition > 0 || s.Fault == OriginDies {
		err := <-done
		heal()
		return err
	}
	late := time.NewTimer(s.patience)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		s.spare.Go(func() error { return <-done })
		return nil
	}
}

// answered is the moment of an answer by both ways of telling time.
type answered struct {
	wall  time.Time
	stamp clock.Stamp
}

// unregister leaves the origin, then the others that hear it. It answers the moment of the origin's first answer.
func (s *setting) unregister(brokers []*broker, d departure) (first answered, err error) {
	var group errgroup.Group
	group.SetLimit(atOnce)
	var once sync.Once
	for _, b := range d.brokers {
		group.Go(func() error {
			if err := brokers[b].unregister(d.origin); err != nil {
				return err
			}
			once.Do(func() {
				first = answered{time.Now(), clock.Now()}
				if s.Fault == OriginDies && s.field.net != nil {
					s.field.net.Partition(map[string]int{s.field.nodes[d.origin].transport.Addr(): 1})
				}
			})
			for _, node := range d.heard {
				if err := brokers[b].unregister(node); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = group.Wait()
	return first, err
}

// cut makes the partition of the setting, if it has one. What it answers heals everything at once.
func (s *setting) cut(d departure) (heal func()) {
	net := s.field.net
	if net == nil {
		return func() {}
	}
	if s.partition <= 0 {
		return func() { net.Partition(nil) }
	}
	groups := map[string]int{}
	for _, i := range d.far {
		groups[s.field.nodes[i].transport.Addr()] = 1
	}
	net.Partition(groups)
	timer := time.AfterFunc(s.partition, func() { net.Partition(nil) })
	return func() {
		timer.Stop()
		net.Partition(nil)
	}
}

// watchers ask every node but the origin; where that one dies, nobody asks it either.
func (s *setting) watchers(brokers []*broker, d departure) []*watcher {
	all := make([]*watcher, 0, s.Nodes)
	for i, n := range s.field.nodes {
		if i == d.origin {
			continue
		}
		s.mu.Lock()
		from := time.Duration(s.rng.Int64N(int64(s.every)))
		s.mu.Unlock()
		w := &watcher{node: i, addr: n.addr, pool: &s.pools[i], every: s.every, from: from}
		for _, b := range d.brokers {
			w.names = append(w.names, brokers[b].address)
			w.topic = append(w.topic, uint32(brokers[b].index))
		}
		if len(w.names) == 1 { // of many the node says too much
			w.soon = n.evicted
		}
		all = append(all, w)
	}
	return all
}

// note takes down one departure.
func (s *setting) note(all []*watcher, d departure, at answered, started clock.Stamp) {
	var last time.Time
	everywhere := true
	for _, w := range all {
		t, ok := w.last()
		everywhere = everywhere && ok
		if t.After(last) {
			last = t
		}
	}
	decided, known := s.decided(d, at, started)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Trials++
	if !everywhere {
		return
	}
	s.Converged++
	s.Wire.add(max(last.Sub(at.wall), 0))
	if known {
		s.Decided.add(max(decided, 0))
	}
}

// decided is when the last of the nodes that missed it evicted, by the nodes' own stamps: all are of this process and
// share its clocks.
func (s *setting) decided(d departure, at answered, started clock.Stamp) (last time.Duration, known bool) {
	if !s.Gossip {
		return 0, false
	}
	for _, i := range d.deaf {
		left := len(d.brokers)
		for _, dec := range s.field.nodes[i].node.Gossip().Status(2*left + 8).Decisions {
			if dec.Verdict.Outcome == tombstone.Evicted && started.Sub(dec.At) <= 0 && slices.ContainsFunc(d.brokers, func(b int) bool {
				return dec.ID.Name == brokerName(b)
			}) {
				last = max(last, dec.At.Sub(at.stamp))
				left--
			}
		}
		if left > 0 {
			return 0, false
		}
	}
	return last, true
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
