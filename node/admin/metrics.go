package admin

import (
	"fmt"
	"math/bits"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	armon "github.com/armon/go-metrics"
	sink "github.com/armon/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/epitaph-mq/epitaph/node/addresses"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/routes"
)

// metricPrefix begins the name of every series of ours.
const metricPrefix = "epitaph"

// scrapeTime bounds the gathering of one scrape.
const scrapeTime = 10 * time.Second

// series is one declared time series. What it shows is read when somebody asks: counting costs an atomic where it
// happens and nothing else.
type series struct {
	name    string // behind epitaph_
	help    string
	labels  []armon.Label
	counter bool // it only grows
	read    func(*reading) uint64

	thousandths bool // of a gauge: a thousand of what is read are one of its unit
}

// reading is everything that one scrape shows.
type reading struct {
	server    rpc.Stats
	table     routes.Stats
	ready     bool
	dropped   uint64
	shared    int
	alone     bool
	period    time.Duration // between two registrations of a broker, as the node reckons with
	gossip    gossipReading
	digest    digestReading
	vanished  vanishedReading
	kvMissing bool
	addresses addresses.Status
	drain     Drain
	shares    [ShareCount]Share
}

// metrics feeds the Prometheus sink. All series exist from the start, at zero.
type metrics struct {
	series  []series
	sink    *sink.PrometheusSink
	exposed http.Handler

	top    *topSources
	expiry prometheus.Gauge // of the certificate; not of the sink, whose 32-bit floats would round it to two minutes

	mu   sync.Mutex // guards the following, and makes one scrape read at a time
	last []uint64   // of each counter
}

func newMetrics(counts *Counts, who Identity) (*metrics, error) {
	m := &metrics{top: newTopSources(), series: slices.Concat(nodeSeries(counts), shareSeries(), gossipSeries(), digestSeries(), addressSeries(), vanishedSeries())}
	m.last = make([]uint64, len(m.series))
	m.expiry = prometheus.NewGauge(prometheus.GaugeOpts{Name: metricPrefix + "_tls_certificate_expiry_timestamp_seconds",
		Help: "When the certificate served expires, in seconds since 1970; 0: none is configured."})
	registry := prometheus.NewRegistry()
	opts := sink.PrometheusOpts{Name: metricPrefix, Registerer: registry}
	for _, s := range m.series {
		if s.counter {
			opts.CounterDefinitions = append(opts.CounterDefinitions,
				sink.CounterDefinition{Name: s.key(), ConstLabels: s.labels, Help: s.help})
		} else {
			opts.GaugeDefinitions = append(opts.GaugeDefinitions,
				sink.GaugeDefinition{Name: s.key(), ConstLabels: s.labels, Help: s.help})
		}
	}
	opts.SummaryDefinitions = append(opts.SummaryDefinitions, sink.SummaryDefinition{
		Name: evictionAge, Help: "Age of departures, in seconds, when they evicted a registration here.",
	}, sink.SummaryDefinition{
		Name: evictionSilence, Help: "Silence of vanished hosts, in seconds, when their brokers were taken out here.",
	})
	declareMemberlist(&opts)
	var err error
	if m.sink, err = sink.NewPrometheusSinkFrom(opts); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info("build_info", "Always 1; its labels are the program's version, the RocketMQ that it follows, and Go's.",
			prometheus.Labels{"version": who.Release, "rocketmq": remoting.VersionText(remoting.Version), "goversion": runtime.Version()}),
		m.top, m.expiry, info("node_info", "Always 1; its labels are the node's name and the name of its gossip cluster, both empty when it gossips with nobody.",
			prometheus.Labels{"gossip_cluster": who.Cluster, "name": who.Name}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	m.exposed = promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: scrapeTime})
	return m, nil
}

// info is a gauge that says something by its labels only.
func info(name, help string, labels prometheus.Labels) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricPrefix + "_" + name, Help: help, ConstLabels: labels},
		func() float64 { return 1 })
}

func (s *series) key() []string { return []string{metricPrefix, s.name} }

// sample hands every series to the sink. It works at any time between New and the end of the process.
func (m *metrics) sample(view View) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := reading{server: view.Connections(), table: view.Table().Stats(), gossip: readGossip(view), digest: readDigests(view), vanished: readVanished(view)}
	r.ready, _ = view.Ready()
	r.dropped, r.alone, r.period = view.DroppedLines(), view.Alone(), view.ReadyAfter()
	r.kvMissing, r.shared = view.KVMissing(), view.SharedSources()
	r.addresses, _ = view.Addresses()
	r.drain, r.shares = view.Draining(), view.Shares(&r.server)
	m.top.now.Store(&r.shares)
	expiry := 0.0
	if at := r.server.TLSExpires; !at.IsZero() {
		expiry = float64(at.Unix())
	}
	m.expiry.Set(expiry) // once: another scrape may be reading it
	for i := range m.series {
		s := &m.series[i]
		now := s.read(&r)
		if !s.counter {
			value := float32(now)
			if s.thousandths {
				value /= 1000
			}
			m.sink.SetGaugeWithLabels(s.key(), value, s.labels)
			continue
		}
		if now > m.last[i] {
			m.increase(s, now-m.last[i])
			m.last[i] = now
		}
	}
}

// increase adds to a counter in steps that a float32, which is what go-metrics passes on, holds exactly.
func (m *metrics) increase(s *series, by uint64) {
	const precision = 24 // bits of a float32
	for by > 0 {
		shift := max(bits.Len64(by)-precision, 0)
		step := by >> shift << shift
		m.sink.IncrCounterWithLabels(s.key(), float32(step), s.labels)
		by -= step
	}
}

func label(name, value string) []armon.Label { return []armon.Label{{Name: name, Value: value}} }

func counter(name, help string, read func(*reading) uint64) series {
	return series{name: name, help: help, counter: true, read: read}
}

func gauge(name, help string, read func(*reading) uint64) series {
	return series{name: name, help: help, read: read}
}

// with labels a series.
func (s series) with(name, value string) series {
	s.labels = label(name, value)
	return s
}

// inThousandths says that a thousand of what a gauge reads are one of its unit: milliseconds, of seconds.
func (s series) inThousandths() series {
	s.thousandths = true
	return s
}

func flag(on bool) uint64 {
	if on {
		return 1
	}
	return 0
}

// nodeSeries are those of the server, its tables and its connections.
func nodeSeries(counts *Counts) []series {
	all := []series{
		gauge("ready", "1 when clients should be sent here, as /readyz says.",
			func(r *reading) uint64 { return flag(r.ready) }),
		gauge("draining", "1 while clients are let go: the node is in no clients' list, and serves on.",
			func(r *reading) uint64 { return flag(r.drain.On) }),
		gauge("drain_unasked_seconds", "While draining: since a client asked for a route; 0 when the node does not drain.",
			func(r *reading) uint64 { return uint64(r.drain.Unasked.Milliseconds()) }).inThousandths(),
		gauge("kv_missing", "1 when the node serves routes alone, for its KV store is missing.",
			func(r *reading) uint64 { return flag(r.kvMissing) }),
		gauge("topics", "Topics that any broker serves.", func(r *reading) uint64 { return uint64(r.table.Topics) }),
		gauge("queue_settings", "Pairs of topic and broker.", func(r *reading) uint64 { return uint64(r.table.Queues) }),
		gauge("brokers", "Broker names.", func(r *reading) uint64 { return uint64(r.table.Brokers) }),
		gauge("registrations", "Registered broker addresses.",
			func(r *reading) uint64 { return uint64(r.table.Registrations) }),
		gauge("shared_sources", "Source addresses from which brokers of several hosts come, as a minute ago at most.",
			func(r *reading) uint64 { return uint64(r.shared) }),
		gauge("clusters", "Clusters of brokers.", func(r *reading) uint64 { return uint64(r.table.Clusters) }),
		gauge("cached_routes", "Routes kept encoded.", func(r *reading) uint64 { return uint64(r.table.CachedRoutes) }),
		gauge("cached_route_bytes", "Bytes of routes kept encoded.",
			func(r *reading) uint64 { return uint64(r.table.CachedBytes) }),
	}
	all = append(all, serverSeries()...)
	all = append(all, counter("admin_refused_total", "Requests refused because they did not come from --admin-from.",
		func(*reading) uint64 { return counts.notAdmin.Load() }),
		counter("registrations_no_memory_total", "Registrations refused because the tables have all the memory that they may.",
			func(*reading) uint64 { return counts.noRoom.Load() }))
	for slot, code := range counts.codes {
		all = append(all, counter("requests_total", "Requests handled, by request code.",
			func(*reading) uint64 { return counts.Handled(slot) }).with("code", code.label()))
	}
	for i := range counts.events {
		kind, read := routes.EventKind(i), func(*reading) uint64 { return counts.events[i].Load() }
		if kind.Conflict() {
			all = append(all, counter("conflicts_total",
				"Registrations that contradict another one, each time they came.", read).with("kind", kind.Name()))
		} else {
			all = append(all, counter("events_total", "Changes of the tables, by kind.", read).with("event", kind.Name()))
		}
	}
	return all
}

func serverSeries() []series {
	const closed, closedHelp = "connections_closed_total", "Connections that the server closed, by reason."
	stat := func(f func(*rpc.Stats) int64) func(*reading) uint64 {
		return func(r *reading) uint64 { return uint64(max(f(&r.server), 0)) }
	}
	return []series{
		gauge("connections", "Open connections of brokers and clients.", stat(func(s *rpc.Stats) int64 { return s.Conns })),
		counter("connections_accepted_total", "Connections accepted.", stat(func(s *rpc.Stats) int64 { return s.Accepted })),
		counter("connections_refused_total", "Connections above the limit, for which no other gave way.", stat(func(s *rpc.Stats) int64 { return s.Refused })),
		counter(closed, closedHelp, stat(func(s *rpc.Stats) int64 { return s.Malformed })).with("reason", "malformed"),
		counter(closed, closedHelp, stat(func(s *rpc.Stats) int64 { return s.Idle })).with("reason", "idle"),
		counter(closed, closedHelp, stat(func(s *rpc.Stats) int64 { return s.TooSlow })).with("reason", "too_slow"),
		counter(closed, closedHelp, stat(func(s *rpc.Stats) int64 { return s.NoBudget })).with("reason", "no_budget"),
		counter(closed, closedHelp, stat(func(s *rpc.Stats) int64 { return s.TLSFailed })).with("reason", "tls"),
		counter(closed, closedHelp, stat(func(s *rpc.Stats) int64 { return s.Stuck })).with("reason", "stuck"),
		counter(closed, closedHelp, stat(func(s *rpc.Stats) int64 { return s.NoRoom })).with("reason", "no_room"),
		counter("answers_dropped_total", "Answers dropped because a broker took none for a while.", stat(func(s *rpc.Stats) int64 { return s.Dropped })),
		gauge("memory_bytes", "Bytes held by what passes through.", stat(func(s *rpc.Stats) int64 { return s.Memory })),
		gauge("memory_limit_bytes", "Bytes that what passes through may hold.", stat(func(s *rpc.Stats) int64 { return s.MemoryLimit })),
		gauge("tls_self_signed", "1 while the certificate served is one that this process made and signed itself.",
			func(r *reading) uint64 { return flag(r.server.TLSSelfSigned) }),
		counter("received_bytes_total", "Bytes received, below TLS.", stat(func(s *rpc.Stats) int64 { return s.BytesIn })),
		counter("sent_bytes_total", "Bytes sent, below TLS.", stat(func(s *rpc.Stats) int64 { return s.BytesOut })),
		counter("overloads_total", "Requests answered with code 2: too many at once, or no memory for them.",
			stat(func(s *rpc.Stats) int64 { return s.Overloads })),
		counter("go_aways_total", "Requests answered with code 1500 while draining.",
			stat(func(s *rpc.Stats) int64 { return s.GoAways })),
		counter("panics_total", "Requests that failed by a fault of this program.",
			stat(func(s *rpc.Stats) int64 { return s.Panics })),
		counter("stray_responses_total", "Frames that answer nothing, ignored.",
			stat(func(s *rpc.Stats) int64 { return s.Responses })),
		counter("log_lines_dropped_total", "Lines of the log and the screen that nobody took in time.", func(r *reading) uint64 { return r.dropped }),
	}
}
