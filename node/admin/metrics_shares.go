package admin

import (
	"net/netip"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Shares of what is limited, in the order of View.Shares.
const (
	PassingShare = iota // bytes
	TablesShare         // bytes
	KVShare             // bytes
	ConnectionsShare
	ShareCount
)

// ShareNames are the labels of metrics.
var ShareNames = [ShareCount]string{"passing", "tables", "kv", "connections"}

// Share is how much of something limited is used.
type Share struct {
	Used, Limit int64      // Limit 0: there is none
	Top         netip.Addr // who holds most, where it is short; invalid: nobody is known
	Holds       int64
}

// Short says that four fifths are used.
func (s *Share) Short() bool { return s.Limit > 0 && s.Used >= s.Limit/5*4 }

// part is n of the limit, in thousandths.
func (s *Share) part(n int64) uint64 {
	if s.Limit <= 0 || n <= 0 {
		return 0
	}
	return uint64(float64(n) / float64(s.Limit) * 1000)
}

func shareSeries() (all []series) {
	for i, name := range ShareNames {
		all = append(all, gauge("share_used_ratio", "How much of something limited is used.",
			func(r *reading) uint64 { return r.shares[i].part(r.shares[i].Used) }).with("share", name).inThousandths())
	}
	return all
}

// topSources tells who holds most of what is short.
type topSources struct {
	desc *prometheus.Desc
	now  atomic.Pointer[[ShareCount]Share]
}

func newTopSources() *topSources {
	return &topSources{desc: prometheus.NewDesc(metricPrefix+"_share_top_source_ratio",
		"Where four fifths of a share are used: how much of it the source holds that holds most; else 0, without a source.", []string{"share", "source"}, nil)}
}

// Describe is prometheus.Collector's.
func (t *topSources) Describe(to chan<- *prometheus.Desc) { to <- t.desc }

// Collect is prometheus.Collector's.
func (t *topSources) Collect(to chan<- prometheus.Metric) {
	now := t.now.Load()
	if now == nil {
		now = new([ShareCount]Share)
	}
	for i := range now {
		s, source, part := &now[i], "", 0.0
		switch {
		case !s.Short():
		case s.Top.IsValid():
			source, part = s.Top.String(), float64(s.Holds)/float64(s.Limit)
		default:
			source, part = "unknown", float64(s.Used)/float64(s.Limit)
		}
		to <- prometheus.MustNewConstMetric(t.desc, prometheus.GaugeValue, part, ShareNames[i], source)
	}
}
