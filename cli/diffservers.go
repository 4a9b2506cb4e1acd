package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/survey"
)

// topicsTold is how many topics are told in full unless --limit says otherwise: they take memory.
const topicsTold = 200

// fewOnce is how many of the things that differed only once are named.
const fewOnce = 5

// diffAnswer is what diff -n --json prints.
type diffAnswer struct {
	Agree       bool              `json:"agree"`    // of what was compared
	Complete    bool              `json:"complete"` // everything was compared
	NameServers []diffServer      `json:"nameservers"`
	Topics      int               `json:"topics"`
	Differences []servedVariously `json:"differences"`      // seen twice, with the same values
	More        int               `json:"more,omitempty"`   // topics that differ, beyond --limit
	Once        []servedVariously `json:"once"`             // seen once: an update may be on its way
	Notes       []string          `json:"notes"`            // what an option explains
	Missing     []string          `json:"missing"`          // what could not be asked
	Requests    int               `json:"requests"`         // that were sent
	Slowed      int               `json:"slowed,omitempty"` // how often the rate was halved
	TookMS      float64           `json:"took_ms"`
}

type diffServer struct {
	Name    string `json:"name"`
	Addr    string `json:"addr"`
	Version string `json:"version,omitempty"`
	Brokers int    `json:"brokers"`
	Fault   string `json:"fault,omitempty"` // why it is not compared
}

// servedVariously is a difference.
type servedVariously struct {
	Kind    survey.Kind `json:"kind"`
	Cluster string      `json:"cluster,omitempty"`
	Broker  string      `json:"broker,omitempty"`
	ID      *int64      `json:"id,omitempty"`
	Topic   string      `json:"topic,omitempty"`
	Key     string      `json:"key,omitempty"`
	Values  []servedAt  `json:"values"`
}

type servedAt struct {
	Addr  string `json:"addr"`
	Held  bool   `json:"held"`
	Value string `json:"value,omitempty"`
}

func variously(targets []survey.Target, d *survey.Difference) servedVariously {
	one := servedVariously{Kind: d.Kind, Cluster: d.Cluster, Broker: d.Broker, Topic: d.Topic, Key: d.Key, Values: []servedAt{}}
	if d.Kind == survey.KindBroker {
		one.ID = &d.ID
	}
	for i, value := range d.Values {
		if value.Known {
			one.Values = append(one.Values, servedAt{targets[i].Addr, value.Held, value.Text})
		}
	}
	return one
}

func diffAsJSON(targets []survey.Target, r *survey.Result, took time.Duration) diffAnswer {
	a := diffAnswer{
		Agree: r.Agree(), Complete: r.Complete() && r.Compared() > 1, NameServers: serversAsJSON(targets, r.Views), Topics: r.Topics, More: r.More,
		Differences: []servedVariously{}, Once: []servedVariously{}, Notes: append([]string{}, r.Notes...), Missing: append([]string{}, r.Missing...),
		Requests: r.Requests, Slowed: r.Slowed, TookMS: float64(took.Microseconds()) / 1000,
	}
	for i := range r.Told {
		a.Differences = append(a.Differences, variously(targets, &r.Told[i]))
	}
	for i := range r.Once {
		a.Once = append(a.Once, variously(targets, &r.Once[i]))
	}
	return a
}

// showDiffOfServers compares NameServers from outside, once or, with --watch, until somebody ends it.
func (v *view) showDiffOfServers(ctx context.Context, s *surveyed, watch time.Duration) error {
	if watch != 0 && watch < time.Second {
		return command.UsageError(fmt.Errorf("--watch=%v: want a second at least", watch))
	}
	sv, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer sv.Close()
	if sv.Limit = topicsTold; v.limitGiven {
		sv.Limit = v.limit
	}
	s.announce(sv)
	ctx, stop := s.begin(ctx)
	defer stop()
	if watch > 0 {
		return v.watchDiff(ctx, s, sv, watch)
	}
	began := v.now()
	r, err := v.diffOnce(ctx, s, sv)
	if err != nil {
		return err
	}
	if v.json {
		err = v.printAsJSON(diffAsJSON(sv.Targets, r, v.now().Sub(began)))
	} else {
		err = v.diffOfServers(sv.Targets, r)
	}
	if err != nil {
		return err
	}
	return verdictOf(r)
}

func (v *view) diffOnce(ctx context.Context, s *surveyed, sv *survey.Survey) (*survey.Result, error) {
	step, done := s.progress()
	sv.Progress = step
	r, err := sv.Diff(ctx)
	done()
	if errors.Is(err, context.Canceled) {
		err = errors.New("ended before it was done")
	}
	return r, err
}

// verdictOf is how the command ends.
func verdictOf(r *survey.Result) error {
	switch {
	case !r.Agree():
		return errors.New("the NameServers differ")
	case r.Compared() < 2:
		return &command.Exit{Status: command.Silent, Err: errors.New("fewer than two NameServers answered: there is nobody to compare with")}
	case !r.Complete():
		return &command.Exit{Status: command.Silent, Err: errors.New("not everything could be compared")}
	}
	return nil
}

func (v *view) diffOfServers(targets []survey.Target, r *survey.Result) error {
	agree := "they agree"
	switch {
	case !r.Agree():
		agree = "they DIFFER"
	case r.Compared() < 2:
		agree = "nobody to compare it with"
	}
	v.lines(0, plural(r.Compared(), "NameServer", "NameServers")+" compared", plural(r.Topics, "topic", "topics"), agree)
	t := newTable("BROKER", "ID", "ADDRESS", "AT", "NOT AT")
	t.keep = 2
	topics := map[string][]*survey.Difference{} // by broker
	var brokers []string
	var others []*survey.Difference
	for i := range r.Told {
		switch d := &r.Told[i]; d.Kind {
		case survey.KindBroker:
			for _, text := range d.Texts() {
				t.add(d.Broker, fmt.Sprint(d.ID), text, v.list(d.At(targets, text)), orDash(v.list(d.NotAt(targets, text))))
			}
		case survey.KindTopic:
			if topics[d.Broker] == nil {
				brokers = append(brokers, d.Broker)
			}
			topics[d.Broker] = append(topics[d.Broker], d)
		default:
			others = append(others, d)
		}
	}
	if len(t.rows) > 1 {
		fmt.Fprintln(v.out)
		if err := v.table(t); err != nil {
			return err
		}
	}
	for _, broker := range brokers {
		fmt.Fprintln(v.out)
		v.words(0, "Topics of "+broker+":")
		v.topicsOf(targets, topics[broker])
	}
	if r.More > 0 {
		v.words(0, fmt.Sprintf("and %s more (--limit)", plural(r.More, "topic", "topics")))
	}
	for i, d := range others {
		if i == 0 {
			fmt.Fprintln(v.out)
		}
		v.words(0, d.Subject.String()+": "+d.Spoken(targets))
	}
	v.surveyNotes(targets, r)
	return nil
}

// topicsOf are the topics of one broker: those that some NameServers have with one value, by where they are, then the rest.
func (v *view) topicsOf(targets []survey.Target, all []*survey.Difference) {
	only := map[string][]string{}
	var order, differing []string
	for _, d := range all {
		values := d.Texts()
		if len(values) == 1 {
			where := "only at " + strings.Join(d.At(targets, values[0]), ", ")
			if only[where] == nil {
				order = append(order, where)
			}
			only[where] = append(only[where], d.Topic)
			continue
		}
		differing = append(differing, fmt.Sprintf("%s (%s)", d.Topic, d.Spoken(targets)))
	}
	for _, where := range order {
		v.words(2, where+": "+strings.Join(only[where], ", "))
	}
	if len(differing) > 0 {
		v.words(2, "differing: "+strings.Join(differing, ", "))
	}
}

func (v *view) surveyNotes(targets []survey.Target, r *survey.Result) {
	if len(r.Missing)+len(r.Notes)+len(r.Once) > 0 {
		fmt.Fprintln(v.out)
	}
	for _, text := range r.Missing {
		v.words(0, "not compared: "+text)
	}
	for _, text := range r.Notes {
		v.words(0, "note: "+text)
	}
	for i := range r.Once[:min(len(r.Once), fewOnce)] {
		v.words(0, fmt.Sprintf("note: seen once, an update may be on its way: %s: %s", r.Once[i].Subject, r.Once[i].Spoken(targets)))
	}
	if more := len(r.Once) - fewOnce; more > 0 {
		v.words(0, fmt.Sprintf("note: and %d more that were seen once", more))
	}
}

// change is a line of diff -n --watch --json.
type change struct {
	At     time.Time        `json:"at"`
	Change string           `json:"change"` // "differs", "agrees", "missing" (could not be asked), "answers"
	What   *servedVariously `json:"what,omitempty"`
	Why    string           `json:"why,omitempty"` // of all but "differs"
	LastMS float64          `json:"lasted_ms,omitempty"`
}

// standing is what the last look of a watch found, by what it says.
type standing map[string]time.Time

// watchDiff tells each change of what differs, and ends as the last look found it.
func (v *view) watchDiff(ctx context.Context, s *surveyed, sv *survey.Survey, every time.Duration) error {
	stands := standing{}
	var last *survey.Result
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		r, err := v.diffOnce(ctx, s, sv)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		sv.Confirm = nil // what every look asks was said once
		last = r
		if err := v.changes(sv.Targets, stands, r, first); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if last == nil {
		return errors.New("ended before it was done")
	}
	return verdictOf(last)
}

// changes tells what is new since the look before, and what is over.
func (v *view) changes(targets []survey.Target, stands standing, r *survey.Result, first bool) error {
	now := v.now()
	is := map[string]bool{}
	tell := func(c change, text string) error {
		if v.json {
			return json.NewEncoder(v.out).Encode(c)
		}
		v.words(0, now.Local().Format("15:04:05")+"  "+text)
		return nil
	}
	begin := func(text string, c change) error {
		is[text] = true
		if _, stood := stands[text]; stood {
			return nil
		}
		stands[text] = now
		return tell(c, text)
	}
	for i := range r.Told {
		d := &r.Told[i]
		what := variously(targets, d)
		if err := begin(fmt.Sprintf("differs: %s: %s", d.Subject, d.Spoken(targets)), change{At: now, Change: "differs", What: &what}); err != nil {
			return err
		}
	}
	for _, text := range r.Missing {
		if err := begin("not compared: "+text, change{At: now, Change: "missing", Why: text}); err != nil {
			return err
		}
	}
	for text, since := range stands {
		if is[text] {
			continue
		}
		delete(stands, text)
		c, over := change{At: now, Change: "agrees", LastMS: float64(now.Sub(since).Milliseconds())}, "no more after "+span(now.Sub(since))+": "
		if why, ok := strings.CutPrefix(text, "not compared: "); ok {
			c.Change, c.Why = "answers", why
		} else {
			c.Why = strings.TrimPrefix(text, "differs: ")
		}
		if err := tell(c, over+text); err != nil {
			return err
		}
	}
	if first && len(stands) == 0 && !v.json {
		v.words(0, fmt.Sprintf("%s  %s compared, %s, they agree", now.Local().Format("15:04:05"), plural(r.Compared(), "NameServer", "NameServers"), plural(r.Topics, "topic", "topics")))
	}
	return nil
}
