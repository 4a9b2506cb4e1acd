package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func (p *program) tombstonesCommand() *command.Command {
	var v view
	return p.inspect(command.Command{
		Name:      "tombstones",
		Usage:     "show which brokers left, who said so, and what each node did",
		UsageText: "epitaph tombstones [--socket PATH | -a HOST:PORT] [--limit N] [--json]",
		Description: `First the departures that this node handled and told to the others, and what each of them did with it, after how
long, and why. Then what this node did with the departures that others told, with both comparisons in figures: a
registration is evicted only when its connection began before the last proof of life of the process that left, and its last
REGISTER came before the departure. Newest first. A tombstone lives for ten minutes.`,
		Flags: []command.Flag{limitFlag(&v, limitOfScreen, "departures and decisions")},
	}, &v, func(ctx context.Context, _ []string) error { return v.showTombstones(ctx) })
}

func limitFlag(v *view, value int, what string) command.Flag {
	v.limit = value
	return command.Flag{To: &v.limit, Name: "limit", Usage: "show at most `N` " + what}
}

// limitQuery is the query for --limit.
func (v *view) limitQuery() (string, error) {
	if v.limit < 1 {
		return "", command.UsageError(fmt.Errorf("--limit=%d: want a number above 0", v.limit))
	}
	return "?limit=" + strconv.Itoa(v.limit), nil
}

func (v *view) showTombstones(ctx context.Context) error {
	query, err := v.limitQuery()
	if err != nil {
		return err
	}
	var t api.Tombstones
	if done, err := v.askJSON(ctx, "/v1/tombstones"+query, &t); done || err != nil {
		return err
	}
	return v.tombstones(&t)
}

func (v *view) tombstones(t *api.Tombstones) error {
	if !t.Gossip {
		_, err := fmt.Fprintln(v.out, gossipOff)
		return err
	}
	now := v.when(t.Asked)
	v.lines(0, fmt.Sprintf("Node %s of cluster %s", t.Node, t.Cluster), plural(t.Live, "live tombstone of its own", "live tombstones of its own"))
	if t.HeldUntil != nil {
		v.lines(0, "EVICTIONS ARE ON HOLD for another "+span(max(t.HeldUntil.Sub(now), 0).Round(time.Second)),
			"for those of three sources were refuted within ten minutes", "look for brokers that share one address")
	}
	for _, h := range t.Holds {
		rest := " are on hold for another " + span(max(h.Until.Sub(now), 0).Round(time.Second))
		switch h.Scope {
		case "broker":
			v.lines(0, "Evictions of "+h.Addr+rest, "by tombstones of cluster "+h.Cluster+" and source "+h.Source,
				"for two were refuted within ten minutes")
		case "source":
			v.lines(0, "Evictions by tombstones of source "+h.Source+rest,
				"for three were refuted within ten minutes", "look for brokers that share one address")
		}
	}
	fmt.Fprintln(v.out, "\nTOLD BY THIS NODE, and what the others did")
	for i := range t.Own {
		if err := v.told(&t.Own[i], now); err != nil {
			return err
		}
	}
	if len(t.Own) == 0 {
		fmt.Fprintln(v.out, "  nothing within the last ten minutes")
	} else if t.Live > len(t.Own) {
		fmt.Fprintf(v.out, "  and older ones: %d (--limit)\n", t.Live-len(t.Own))
	}
	fmt.Fprintln(v.out, "\nDECIDED BY THIS NODE on what others told")
	for i := range t.Decisions {
		v.decided(&t.Decisions[i], now)
	}
	if len(t.Decisions) == 0 {
		fmt.Fprintln(v.out, "  nothing within the last ten minutes")
	}
	return nil
}

// who is left, with the source address only where it says more than the broker's own.
func who(t *api.Tombstone) []string {
	parts := []string{fmt.Sprintf("%s (id %d) at %s", t.Broker, t.ID, t.Addr), "cluster " + t.Cluster}
	if host, _, err := net.SplitHostPort(t.Addr); err != nil || host != t.Remote {
		parts = append(parts, "from "+t.Remote)
	}
	return parts
}

func (v *view) told(o *api.Own, now time.Time) error {
	parts := who(&o.Tombstone)
	parts[0] = ago(o.Left, now) + "  " + parts[0]
	if !o.LifeKnown {
		parts = append(parts, "without a proof of life")
	}
	v.lines(2, parts...)
	if len(o.Reports) == 0 {
		fmt.Fprintln(v.out, "      no other node was there to be told")
		return nil
	}
	t, named := &table{}, names{}
	for _, r := range o.Reports {
		named[r.Member]++
	}
	for _, r := range o.Reports {
		row := []string{"     ", named.of(r.Member, r.Boot), "-", r.Why}
		if r.AfterMS != nil {
			row[2] = span(milliseconds(*r.AfterMS))
		}
		if r.State == "asked" {
			row[3] = "asked for the proof, has not said what it did"
		} else if r.State != "reported" {
			row[3] = "no answer yet"
		}
		t.add(row...)
	}
	return v.table(t)
}

func (v *view) decided(d *api.Decision, now time.Time) {
	parts := who(&d.Tombstone)
	parts[0] = ago(d.At, now) + "  " + parts[0]
	v.lines(2, append(parts, "told by "+d.Origin)...)
	why := d.Why
	if d.AgeMS > 0 {
		judged := ", "
		if d.Outcome != "evicted" {
			judged += "judged "
		}
		why += judged + span(milliseconds(d.AgeMS)) + " after the departure"
	}
	v.lines(6, why)
	if both := comparisons(&d.Verdict); len(both) > 0 {
		v.lines(6, both...)
	}
}

// comparisons are both figures of the rule in words, as far as they were compared.
func comparisons(d *api.Verdict) (parts []string) {
	compare := func(what string, margin *float64, pro, contra string) {
		if margin == nil {
			return
		}
		if m := milliseconds(*margin); m > 0 {
			parts = append(parts, what+" "+span(m)+" "+pro)
		} else {
			parts = append(parts, what+" "+span(-m)+" "+contra)
		}
	}
	compare("connection", d.LifeMargin, "older than proof of life", "younger than proof of life")
	compare("REGISTER", d.RegisterMargin, "before departure", "after departure")
	return parts
}
