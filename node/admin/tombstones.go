package admin

import (
	"fmt"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/tombstone"
)

func bootText(boot uint64) string { return fmt.Sprintf("%016x", boot) }

// Tombstones is what /v1/tombstones answers.
func Tombstones(view View, limit int) api.Tombstones {
	now := thisMoment()
	v := api.Tombstones{Asked: now.asked(), Own: []api.Own{}, Decisions: []api.Decision{}}
	d := view.Departures()
	if d == nil {
		return v
	}
	g := d.Gossip()
	v.Gossip, v.Node, v.Cluster = true, g.Self().Name, d.Cluster()
	s := g.Status(limit)
	v.Live = s.Live
	for _, h := range s.Holds[:min(limit, len(s.Holds))] {
		v.Holds = append(v.Holds, apiHold(h, now.at(h.Until)))
		if h.Kind == tombstone.HoldNode {
			v.HeldUntil = &v.Holds[len(v.Holds)-1].Until
		}
	}
	for _, o := range s.Own {
		own := api.Own{
			Tombstone: apiTombstone(o.ID), Left: now.ago(o.Age),
			AgeMS: millis(o.Age), LifeKnown: o.HasLife, Reports: []api.Report{},
		}
		for _, r := range o.Reports {
			own.Reports = append(own.Reports, apiReport(r))
		}
		v.Own = append(v.Own, own)
	}
	for _, d := range s.Decisions {
		v.Decisions = append(v.Decisions, api.Decision{
			Tombstone: apiTombstone(d.ID), At: now.at(d.At), Verdict: apiVerdict(d.Verdict),
		})
	}
	return v
}

func apiHold(h tombstone.Hold, until time.Time) api.Hold {
	v := api.Hold{Scope: h.Kind.Name(), Cluster: h.Key.Cluster, Addr: h.Key.Addr, Until: until}
	switch {
	case h.Source.IsSingleIP():
		v.Source = h.Source.Addr().String()
	case h.Source.IsValid():
		v.Source = h.Source.String()
	}
	return v
}

func apiTombstone(id tombstone.ID) api.Tombstone {
	return api.Tombstone{
		Cluster: id.Cluster, Broker: id.Name, ID: id.BrokerID, Addr: id.Addr, Remote: id.RemoteIP.String(),
		Origin: id.Origin.Name, Boot: bootText(id.Origin.Boot), Seq: id.Seq, Revision: id.Revision,
	}
}

func apiReport(r tombstone.MemberReport) api.Report {
	v := api.Report{Member: r.Member, Boot: bootText(r.Boot), State: "no answer"}
	if !r.Answered {
		return v
	}
	after := millis(r.After)
	v.State, v.AfterMS = "asked", &after
	if r.Reported {
		v.State, v.Outcome, v.Why = "reported", r.Outcome.Name(), r.Outcome.String()
	}
	return v
}

func apiVerdict(d tombstone.Verdict) api.Verdict {
	v := api.Verdict{Outcome: d.Outcome.Name(), Why: d.Outcome.String(), AgeMS: millis(d.Age)}
	register := millis(d.RegisterMargin)
	switch d.Outcome {
	case tombstone.Evicted, tombstone.KeptOtherClaim, tombstone.KeptYoungerConn:
		life := millis(d.LifeMargin)
		v.LifeMargin, v.RegisterMargin = &life, &register
	case tombstone.KeptNoLife, tombstone.CameBack:
		v.RegisterMargin = &register
	}
	return v
}
