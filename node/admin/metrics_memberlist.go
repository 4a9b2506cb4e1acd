package admin

import (
	"sync"
	"time"

	armon "github.com/armon/go-metrics"
	sink "github.com/armon/go-metrics/prometheus"
	hashicorp "github.com/hashicorp/go-metrics"

	"github.com/epitaph-mq/epitaph/gossip"
)

// memberlist counts through the one global of hashicorp/go-metrics, not through armon/go-metrics, and says nothing when
// nobody listens there. bridge is that listener: it hands each series to the sink of the node that it is about.
type bridge struct {
	once  sync.Once
	mu    sync.RWMutex // guards the following
	sinks map[string]armon.MetricSink
}

// memberlistBridge is global because what it listens to is: several nodes may run in one process.
var memberlistBridge = bridge{sinks: map[string]armon.MetricSink{}}

var _ hashicorp.MetricSink = (*bridge)(nil)

// Attach shows memberlist's own series of that member (gossip.MemberName) until detach is called.
func (h *Server) Attach(member string) (detach func(), err error) {
	m, err := h.metrics()
	if err != nil {
		return nil, err
	}
	return memberlistBridge.attach(member, m.sink)
}

// attach sends the series of a member to its sink until detach is called.
func (b *bridge) attach(member string, to armon.MetricSink) (detach func(), err error) {
	b.once.Do(func() {
		_, err = hashicorp.NewGlobal(&hashicorp.Config{TimerGranularity: time.Millisecond, FilterDefault: true}, b)
	})
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sinks[member] = to
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.sinks, member)
	}, nil
}

// ours are the names of memberlist's series as Prometheus' conventions want them: counters end in total, times are in seconds.
var ours = map[string][]string{
	"probeNode":    {"probe", "seconds"},
	"pushPullNode": {"push", "pull", "seconds"},
	"gossip":       {"gossip", "seconds"},
}

// route finds the sink by the label that says which member speaks, and takes that label off.
func (b *bridge) route(key []string, labels []hashicorp.Label) (to armon.MetricSink, name []string, rest []armon.Label) {
	for _, l := range labels {
		if l.Name != gossip.MetricLabel {
			rest = append(rest, armon.Label(l))
			continue
		}
		b.mu.RLock()
		to = b.sinks[l.Value]
		b.mu.RUnlock()
	}
	return to, append([]string{metricPrefix}, key...), rest // key begins with memberlist
}

func (b *bridge) SetGaugeWithLabels(key []string, val float32, labels []hashicorp.Label) {
	if to, name, rest := b.route(key, labels); to != nil {
		to.SetGaugeWithLabels(name, val, rest)
	}
}

func (b *bridge) IncrCounterWithLabels(key []string, val float32, labels []hashicorp.Label) {
	if to, name, rest := b.route(key, labels); to != nil {
		to.IncrCounterWithLabels(append(name, "total"), val, rest)
	}
}

func (b *bridge) AddSampleWithLabels(key []string, val float32, labels []hashicorp.Label) {
	to, name, rest := b.route(key, labels)
	if to == nil {
		return
	}
	if seconds := ours[key[len(key)-1]]; seconds != nil {
		name, val = append(name[:len(name)-1], seconds...), val/1000 // from milliseconds: TimerGranularity
	}
	to.AddSampleWithLabels(name, val, rest)
}

// Without labels nobody knows whose it is.
func (b *bridge) SetGauge([]string, float32)    {}
func (b *bridge) EmitKey([]string, float32)     {}
func (b *bridge) IncrCounter([]string, float32) {}
func (b *bridge) AddSample([]string, float32)   {}

// declareMemberlist lists the series of memberlist v0.7.0, so that they are there from the start.
func declareMemberlist(opts *sink.PrometheusOpts) {
	for _, s := range memberlistSeries() {
		name := append([]string{metricPrefix, "memberlist"}, s.name...)
		switch s.kind {
		case "counter":
			opts.CounterDefinitions = append(opts.CounterDefinitions,
				sink.CounterDefinition{Name: append(name, "total"), ConstLabels: s.labels, Help: s.help})
		case "gauge":
			opts.GaugeDefinitions = append(opts.GaugeDefinitions,
				sink.GaugeDefinition{Name: name, ConstLabels: s.labels, Help: s.help})
		case "summary":
			opts.SummaryDefinitions = append(opts.SummaryDefinitions,
				sink.SummaryDefinition{Name: name, ConstLabels: s.labels, Help: s.help})
		}
	}
}

type foreignSeries struct {
	kind   string
	name   []string // behind epitaph_memberlist_
	labels []armon.Label
	help   string
}

func memberlistSeries() []foreignSeries {
	const states = "Members by state."
	return []foreignSeries{
		{"counter", []string{"tcp", "accept"}, nil, "Streams accepted."},
		{"counter", []string{"tcp", "connect"}, nil, "Streams opened."},
		{"counter", []string{"tcp", "sent"}, nil, "Bytes sent by stream."},
		{"counter", []string{"udp", "sent"}, nil, "Bytes sent by packet."},
		{"counter", []string{"udp", "received"}, nil, "Bytes received by packet."},
		{"counter", []string{"msg", "alive"}, nil, "Alive messages."},
		{"counter", []string{"msg", "suspect"}, nil, "Suspect messages."},
		{"counter", []string{"msg", "dead"}, nil, "Dead messages."},
		{"counter", []string{"degraded", "probe"}, nil, "Probes slowed down because this node is unwell."},
		{"counter", []string{"degraded", "timeout"}, nil, "Members taken for dead with fewer confirmations than wanted."},
		{"gauge", []string{"health", "score"}, nil, "0: this node is well; more: its own probes are late."},
		{"gauge", []string{"size", "local"}, nil, "Bytes of user data in the last push/pull sent."},
		{"gauge", []string{"node", "instances"}, label("node_state", "alive"), states},
		{"gauge", []string{"node", "instances"}, label("node_state", "suspect"), states},
		{"gauge", []string{"node", "instances"}, label("node_state", "dead"), states},
		{"gauge", []string{"node", "instances"}, label("node_state", "left"), states},
		{"summary", []string{"size", "remote"}, nil, "Bytes of push/pulls received."},
		{"summary", []string{"queue", "broadcasts"}, nil, "Length of the gossip queue."},
		{"summary", ours["probeNode"], nil, "Duration of a probe."},
		{"summary", ours["gossip"], nil, "Duration of a round of gossip."},
		{"summary", ours["pushPullNode"], nil, "Duration of a push/pull."},
	}
}
