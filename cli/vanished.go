package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
)

func (p *program) vanishedCommand() *command.Command {
	var v view
	var why, test string
	return p.inspect(command.Command{
		Name:      "vanished",
		Usage:     "show which brokers' hosts are silent, what the nodes say of them, and what was decided",
		UsageText: "epitaph vanished [--socket PATH | -a HOST:PORT] [--why BROKER | --test BROKER] [--limit N] [--json]",
		Description: `What a node with --dead-hosts knows: the hosts that are silent now, the last word of each other node about them, and its
decisions with all figures, newest first. With --why it shows what it knows of one broker, silent or not: whether its host may be
judged, and if not, why and what helps. With --test it asks all nodes now what they would say, which changes nothing; for that it is
asked on its own machine, by its Unix socket. BROKER is a name, or HOST:PORT as the broker registered.`,
		Flags: []command.Flag{
			{To: &why, Name: "why", Usage: "show whether the host of `BROKER` may be judged, and why not"},
			{To: &test, Name: "test", Usage: "ask all nodes now what they would say of `BROKER`"},
			limitFlag(&v, limitOfScreen, "hosts and decisions"),
		},
	}, &v, func(ctx context.Context, _ []string) error { return v.showVanished(ctx, why, test) })
}

func (v *view) showVanished(ctx context.Context, why, test string) error {
	query, err := v.limitQuery()
	if err != nil {
		return err
	}
	if why != "" && test != "" {
		return command.UsageError(errors.New("--why and --test: give one of them"))
	}
	var a api.Vanished
	method := http.MethodGet
	switch {
	case test != "":
		method, query = http.MethodPost, "?broker="+url.QueryEscape(test)
	case why != "":
		query += "&broker=" + url.QueryEscape(why)
	}
	status, body, err := send(ctx, method, v.node, "/v1/vanished"+query)
	if err != nil {
		return err
	}
	if done, err := v.read(status, body, &a); done || err != nil {
		return err
	}
	if why+test != "" {
		return v.whyVanished(&a, test != "")
	}
	return v.vanished(&a)
}

// vanishedHead says how the node judges, if it does, and what keeps it from that now. False: it judges nobody ever.
func (v *view) vanishedHead(a *api.Vanished) bool {
	switch {
	case !a.Gossip:
		fmt.Fprintln(v.out, gossipOff)
		return false
	case a.Mode == "off":
		v.lines(0, fmt.Sprintf("Node %s of cluster %s judges no host: it runs without --dead-hosts.", a.Node, a.Cluster))
		return false
	}
	now := v.when(a.Asked)
	v.lines(0, fmt.Sprintf("Node %s of cluster %s", a.Node, a.Cluster), "mode "+a.Mode, "after "+span(milliseconds(a.AfterMS))+" of silence",
		fmt.Sprintf("%d of %d nodes must agree", a.Quorum, a.Nodes), fmt.Sprintf("%d alive", a.Living), plural(a.Watched, "connection watched", "connections watched"))
	for _, n := range a.NotJudged {
		v.lines(0, append([]string{"Not judged: " + plural(n.Registrations, "registration", "registrations")}, notJudgedWords(n.Reason)...)...)
	}
	if a.Living < a.Quorum {
		v.lines(0, "TOO FEW NODES LIVE: no host is taken for vanished until "+plural(a.Quorum, "does", "do"))
	}
	if a.Braked {
		v.lines(0, "BRAKED: nobody is judged", "for half of the hosts are silent here, or all", "look at this node's own network first")
	}
	if a.HeldUntil != nil {
		v.lines(0, "ON HOLD for another "+span(max(a.HeldUntil.Sub(now), 0).Round(time.Second)), "for three hosts were heard again within ten minutes",
			"raise --dead-host-after or look for freezes")
	}
	if a.AnsweredFor {
		v.lines(0, "SOMETHING ANSWERS FOR OTHERS: nobody is judged", "for connections are answered where nobody may be", "see --dead-host-canary")
	}
	if a.Draining {
		v.lines(0, "DRAINING: this node judges nobody meanwhile")
	}
	return true
}

// notJudgedText is why hosts are not judged, and what helps, in parts that fit on a line.
var notJudgedText = map[string][]string{
	"off":          {"this node runs without --dead-hosts"},
	"source":       {"it comes from another address than it advertises", "set brokerIP1 at the broker to the address that it uses towards the nodes"},
	"proxied":      {"it comes through a front end (PROXY header)"},
	"local":        {"it runs on this machine"},
	"platform":     {"this machine's kernel has not what watching needs", "Linux with TCP_USER_TIMEOUT"},
	"answered_for": {"something on the way answers for hosts that are not there"},
	"not_calibrated": {
		"no three probes were answered on its connection yet", "if that lasts, something on the way eats keepalives",
	},
	"connect_filtered": {
		"no new connection to it was answered for ten minutes", "let this node reach the broker's port",
	},
}

func notJudgedWords(reason string) []string {
	if text, ok := notJudgedText[reason]; ok {
		return text
	}
	return []string{reason}
}

var saysText = map[string]string{
	"votes": "silent: it agrees", "not_held": "does not hold it", "not_watched": "does not watch it", "off": "runs without --dead-hosts",
	"young": "has not listened for 30s yet", "draining": "is draining or stopping", "not_looking": "has not looked of late", "heard": "heard it of late",
	"not_calibrated": "no probes were answered on its connection yet", "connect_filtered": "gets no answer to new connections",
	"answered_for": "something answers for others there", "too_little": "has not asked often enough yet", "braked": "is braked: too many are silent there",
	"on_hold": "has it on hold: it was heard again after a decision", "too_many": "too many registrations are silent", "too_few": "too few nodes agree",
	"contradicted": "somebody heard it", "not_answered": "a node has not answered", "more_nodes": "there are more nodes than --dead-host-nodes says",
	"younger": "at the last look it was heard, or had registered", "heir": "another source registers it, too, and keeps it",
	"ack": "its kernel answers on the same connection", "register": "it registered", "connect": "it answers new connections",
}

func saysWords(says string) string {
	if text, ok := saysText[says]; ok {
		return text
	}
	return says
}

func (v *view) vanished(a *api.Vanished) error {
	if !v.vanishedHead(a) {
		return nil
	}
	now := v.when(a.Asked)
	fmt.Fprintln(v.out, "\nSILENT NOW, and the last word of the other nodes")
	for i := range a.Hosts {
		if err := v.silentHost(a, &a.Hosts[i], now); err != nil {
			return err
		}
	}
	if len(a.Hosts) == 0 {
		fmt.Fprintln(v.out, "  nobody")
	} else if a.Total > len(a.Hosts) {
		fmt.Fprintf(v.out, "  and others: %d (--limit)\n", a.Total-len(a.Hosts))
	}
	fmt.Fprintln(v.out, "\nDECIDED BY THIS NODE")
	for i := range a.Decisions {
		v.vanishedDecision(&a.Decisions[i], now)
	}
	if len(a.Decisions) == 0 {
		fmt.Fprintln(v.out, "  nothing since its start")
	}
	return nil
}

func (v *view) silentHost(a *api.Vanished, h *api.VanishedHost, now time.Time) error {
	v.lines(2, h.Source, "silent for "+span(milliseconds(h.SilenceMS)), fmt.Sprintf("%d new connections in vain", h.Connects))
	for i := range h.Brokers {
		b := &h.Brokers[i]
		v.lines(4, fmt.Sprintf("%s (id %d) at %s", b.Broker, b.ID, b.Addr), "cluster "+b.Cluster, fmt.Sprintf("%d probes in vain", b.Unanswered))
		if b.Evicted != nil {
			v.lines(6, yesNo(a.Mode == "on", "taken out ", "would have been taken out ")+ago(*b.Evicted, now))
		}
		if err := v.said(a, b, now); err != nil {
			return err
		}
	}
	return nil
}

// said shows what each node says of a broker, this one first.
func (v *view) said(a *api.Vanished, b *api.VanishedBroker, now time.Time) error {
	t := &table{}
	t.add("     ", a.Node, "now", saysWords(b.Says))
	for _, w := range b.Words {
		row := []string{"     ", w.Member, "-", "has not answered"}
		if w.Answered != nil {
			row[2], row[3] = ago(*w.Answered, now), saysWords(w.Says)
		}
		if w.Heard != nil && (w.Alive || w.Says != "votes") {
			row[3] += "; last sign of life " + ago(*w.Heard, now)
		}
		if w.Mute {
			row[3] += "; mute"
		}
		t.add(row...)
	}
	return v.table(t)
}

func (v *view) vanishedDecision(d *api.VanishedDecision, now time.Time) {
	v.lines(2, ago(d.At, now)+fmt.Sprintf("  %s (id %d) at %s", d.Broker, d.ID, d.Addr), "cluster "+d.Cluster, "host "+d.Source)
	silence := "silent for " + span(milliseconds(d.SilenceMS))
	switch d.Kind {
	case "evicted", "would_evict":
		parts := []string{
			yesNo(d.Kind == "evicted", "taken out", "would be taken out"), silence, fmt.Sprintf("%d probes and %d new connections in vain", d.Unanswered, d.Connects),
			"agreed: " + strings.Join(d.Agreed, " "), fmt.Sprintf("%d of %d had to", d.Quorum, d.Nodes),
		}
		if len(d.Mute) > 0 {
			parts = append(parts, "mute: "+strings.Join(d.Mute, " "))
		}
		if d.Why != "" {
			parts = append(parts, saysWords(d.Why))
		}
		v.lines(6, parts...)
	case "kept":
		why := "kept: " + saysWords(d.Why)
		if d.By != "" {
			why += " (" + d.By + ")"
		}
		v.lines(6, why, silence)
	case "refuted":
		v.lines(6, "heard again "+span(milliseconds(d.SilenceMS))+" after that: "+saysWords(d.Why))
	case "restored":
		v.lines(6, "put back as it was "+span(milliseconds(d.SilenceMS))+" after that")
	default:
		v.lines(6, d.Kind, silence)
	}
}

// whyVanished shows what is known of one broker. asked says that the words are answers of now.
func (v *view) whyVanished(a *api.Vanished, asked bool) error {
	if !v.vanishedHead(a) && !a.Gossip {
		return nil
	}
	now := v.when(a.Asked)
	for i := range a.Hosts {
		h := &a.Hosts[i]
		for j := range h.Brokers {
			b := &h.Brokers[j]
			fmt.Fprintln(v.out)
			v.lines(0, fmt.Sprintf("%s (id %d) at %s", b.Broker, b.ID, b.Addr), "cluster "+b.Cluster, "from "+h.Source)
			if b.NotJudged != "" {
				v.lines(2, append([]string{"its host is NOT JUDGED"}, notJudgedWords(b.NotJudged)...)...)
			} else {
				v.lines(2, "its host is judged")
			}
			v.lines(2, "last sign of life "+ago(h.Heard, now))
			if a.Mode != "off" {
				v.lines(2, "connection "+yesNo(b.Watched, "watched", "not watched"), yesNo(b.Calibrated, "probes are answered on it", "probes were not answered on it yet"))
				if h.AnsweredNew != nil {
					v.lines(2, "a new connection was answered "+ago(*h.AnsweredNew, now))
				} else {
					v.lines(2, "no new connection was answered yet")
				}
			}
			if b.OnHold {
				v.lines(2, "on hold: it was heard again after a decision", "and is not judged for ten minutes")
			}
			switch {
			case asked && len(b.Words) == 0:
				v.lines(2, "there is no other node to be asked")
			case asked:
				v.lines(2, "asked just now, each node says:")
				if err := v.said(a, b, now); err != nil {
					return err
				}
			default:
				v.lines(2, "what each other node would say: epitaph vanished --test "+b.Broker)
			}
		}
	}
	return nil
}

func yesNo(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
