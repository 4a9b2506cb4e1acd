package survey

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/order"
)

// apart is how long after the first the last NameServer may be asked in a round that is compared.
const apart = 50 * time.Millisecond

// RouteAnswer is what one NameServer answered in a round.
type RouteAnswer struct {
	Asked time.Time
	Facts Facts // queues and addresses by broker; empty: it does not have the topic
	Fault error // it did not answer
}

// RouteEvent is something that changed from one round to the next.
type RouteEvent struct {
	At         time.Time
	Event      string // agree, disagree, changed, silent, answers
	NameServer string // that it is about; empty: all
	What       string
	Lasted     time.Duration // of what ended with "agree"
	Give       time.Duration // how much longer or shorter it may have lasted
}

// RouteWatch follows one topic at several NameServers. It is told of rounds and has no clock.
type RouteWatch struct {
	targets []Target
	topic   string
	last    []RouteAnswer
	round   time.Time // of the last round
	begun   bool
	differ  bool
	since   time.Time     // when the first differing answer was asked for
	before  time.Duration // from the last equal round to it
	silent  bool
}

// NewRouteWatch follows topic at targets.
func NewRouteWatch(topic string, targets []Target) *RouteWatch {
	return &RouteWatch{targets: targets, topic: topic, last: make([]RouteAnswer, len(targets))}
}

// Begun says that there was a round.
func (w *RouteWatch) Begun() bool { return w.begun }

// Differ says that the last round found them so.
func (w *RouteWatch) Differ() bool { return w.differ }

// Silent says that somebody did not answer in the last round.
func (w *RouteWatch) Silent() bool { return w.silent }

// Saw is told the answers of one round, in the order of the targets, and returns what is new.
func (w *RouteWatch) Saw(answers []RouteAnswer) (events []RouteEvent) {
	first, latest := answers[0].Asked, answers[0].Asked
	for _, a := range answers {
		if a.Asked.Before(first) {
			first = a.Asked
		}
		if a.Asked.After(latest) {
			latest = a.Asked
		}
	}
	w.silent = false
	for i := range answers {
		a, former := &answers[i], &w.last[i]
		at := w.targets[i].Addr
		w.silent = w.silent || a.Fault != nil
		switch {
		case a.Fault != nil && (!w.begun || former.Fault == nil):
			events = append(events, RouteEvent{At: a.Asked, Event: "silent", NameServer: at, What: short(a.Fault)})
		case a.Fault == nil && w.begun && former.Fault != nil:
			events = append(events, RouteEvent{At: a.Asked, Event: "answers", NameServer: at, What: "it answers again: " + served(w.topic, a.Facts)})
		case a.Fault == nil && w.begun:
			for _, text := range changes(former.Facts, a.Facts) {
				events = append(events, RouteEvent{At: a.Asked, Event: "changed", NameServer: at, What: text})
			}
		}
	}
	spread := latest.Sub(first)
	differ := w.differs(answers)
	switch {
	case spread > apart && differ != w.differ: // it may have changed between them: the next round tells
		differ = w.differ
	case differ && !w.differ:
		w.since, w.before = first, spread
		if w.begun {
			w.before = first.Sub(w.round)
		}
		events = append(events, RouteEvent{At: first, Event: "disagree", What: w.variously(answers)})
	case !differ && w.differ:
		events = append(events, RouteEvent{At: first, Event: "agree", What: served(w.topic, w.any(answers)),
			Lasted: first.Sub(w.since), Give: max(w.before, first.Sub(w.round)) + spread})
	case !w.begun && !differ && w.any(answers) != nil:
		events = append(events, RouteEvent{At: first, Event: "agree", What: served(w.topic, w.any(answers))})
	}
	w.last, w.round, w.begun, w.differ = answers, first, true, differ
	return events
}

func (w *RouteWatch) differs(answers []RouteAnswer) bool {
	any := w.any(answers)
	return slices.ContainsFunc(answers, func(a RouteAnswer) bool { return a.Fault == nil && !maps.Equal(a.Facts, any) })
}

// any is what the first says that answers; nil: nobody does.
func (w *RouteWatch) any(answers []RouteAnswer) Facts {
	for _, a := range answers {
		if a.Fault == nil {
			return a.Facts
		}
	}
	return nil
}

// variously is who says what.
func (w *RouteWatch) variously(answers []RouteAnswer) string {
	texts := map[string][]string{}
	for i, a := range answers {
		if a.Fault == nil {
			text := served(w.topic, a.Facts)
			texts[text] = append(texts[text], w.targets[i].Addr)
		}
	}
	out := ""
	for _, text := range slices.Sorted(maps.Keys(texts)) {
		if out != "" {
			out += "; "
		}
		out += fmt.Sprintf("%s say: %s", few(texts[text]), text)
	}
	return out
}

// served is a route in words.
func served(topic string, f Facts) string {
	var parts []string
	subjects := order.Sorted(maps.Keys(f), compareSubjects)
	for _, s := range subjects {
		if s.Kind == KindTopic {
			parts = append(parts, fmt.Sprintf("%s (%s)", s.Broker, f[s]))
		}
	}
	for _, s := range subjects {
		if s.Kind == KindBroker {
			parts = append(parts, fmt.Sprintf("%s/%d at %s", s.Broker, s.ID, f[s]))
		}
	}
	if len(parts) == 0 {
		return "nobody has " + topic
	}
	return few(parts)
}

// changes are what is other than before, sorted.
func changes(before, now Facts) (texts []string) {
	subjects := maps.Clone(before)
	if subjects == nil {
		subjects = Facts{}
	}
	maps.Copy(subjects, now)
	for _, s := range order.Sorted(maps.Keys(subjects), compareSubjects) {
		was, had := before[s]
		is, has := now[s]
		name := s.Broker
		if s.Kind == KindBroker {
			name = fmt.Sprintf("%s (id %d)", s.Broker, s.ID)
		}
		switch {
		case had && !has:
			texts = append(texts, fmt.Sprintf("%s went (%s)", name, was))
		case has && !had:
			texts = append(texts, fmt.Sprintf("%s came (%s)", name, is))
		case was != is:
			texts = append(texts, fmt.Sprintf("%s changed from %s to %s", name, was, is))
		}
	}
	return texts
}

// Round asks every NameServer for a topic, all at the same time: connections are opened before.
func (s *Survey) Round(ctx context.Context, topic string) []RouteAnswer {
	answers := make([]RouteAnswer, len(s.peers))
	var opened, all sync.WaitGroup
	for i, p := range s.peers {
		opened.Go(func() { _, _, answers[i].Fault = p.connected(ctx) })
	}
	opened.Wait()
	for i, p := range s.peers {
		answers[i].Asked = time.Now()
		if answers[i].Fault != nil {
			continue
		}
		all.Go(func() {
			route, err := s.route(ctx, p, topic)
			if err != nil {
				answers[i].Fault = err
				return
			}
			answers[i].Facts = routeFacts(topic, route)
			for _, b := range route.Brokers {
				for _, a := range b.Addrs {
					answers[i].Facts[Subject{Kind: KindBroker, Cluster: b.Cluster, Broker: b.BrokerName, ID: a.ID}] = a.Addr
				}
			}
		})
	}
	all.Wait()
	return answers
}

// Watch asks every so often, and tells every event, until ctx ends, which is no error.
func (s *Survey) Watch(ctx context.Context, w *RouteWatch, every time.Duration, tell func(RouteEvent) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		answers := s.Round(ctx, w.topic)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range w.Saw(answers) {
			if err := tell(e); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
