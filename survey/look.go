package survey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
)

const (
	atOnce    = 32 // requests that await their answer from one NameServer
	giveUp    = 3  // requests without an answer, one after another, after which a NameServer is asked for no more routes
	lookFacts = 4  // requests of a look beside routes: brokers, options, order configurations, topics
)

// facts asks every NameServer for all but routes; t, unless nil, learns the topics.
func (s *Survey) facts(ctx context.Context, t *topics) []*View {
	views := make([]*View, len(s.peers))
	var all sync.WaitGroup
	for i, p := range s.peers {
		all.Go(func() { views[i] = s.view(ctx, p) })
	}
	all.Wait()
	for i, v := range views { // one after another: a list of a hundred thousand topics is large
		if t != nil && v.Fault == nil {
			s.list(ctx, t, i, v)
		}
	}
	return views
}

func (s *Survey) view(ctx context.Context, p *Peer) *View {
	v := &View{Facts: Facts{}, Known: map[Kind]bool{}, Clusters: map[string][]string{}}
	answer, err := p.Ask(ctx, remoting.GetBrokerClusterInfo, nil)
	if err != nil {
		v.Fault = err
		return v
	}
	if answer.Code != remoting.Success {
		v.Fault = refusal(p, answer)
		return v
	}
	info, err := body.DecodeClusterInfo(answer.Body)
	if err != nil {
		v.Fault = &Fault{p.Addr, Garbage, err}
		return v
	}
	v.Version = answer.Version
	v.Groups = v.Facts.addCluster(info)
	for _, c := range info.Clusters {
		v.Clusters[c.Cluster] = append(v.Clusters[c.Cluster], c.Brokers...)
	}
	v.Known[KindBroker] = true
	v.Known[KindZone] = v.Version >= mq.V5_0_0
	v.Known[KindActing] = v.Version >= mq.V5_0_0
	s.options(ctx, p, v)
	v.Known[KindOrder] = s.kv(ctx, p, v, orderNamespace)
	v.Known[KindKV] = true
	for _, namespace := range s.Namespaces {
		v.Known[KindKV] = s.kv(ctx, p, v, namespace) && v.Known[KindKV]
	}
	return v
}

func (s *Survey) options(ctx context.Context, p *Peer, v *View) {
	answer, err := p.Ask(ctx, remoting.GetNamesrvConfig, nil)
	if err == nil && answer.Code != remoting.Success {
		err = refusal(p, answer)
	}
	if err == nil {
		v.Options, err = optionsOf(answer.Body)
	}
	if err != nil {
		v.unasked("its options are not compared", err)
	}
}

func (s *Survey) kv(ctx context.Context, p *Peer, v *View, namespace string) bool {
	answer, err := p.Ask(ctx, remoting.GetKVListByNamespace, map[string]string{"namespace": namespace})
	switch {
	case err != nil:
	case answer.Code == remoting.QueryNotFound:
		return true
	case answer.Code != remoting.Success:
		err = refusal(p, answer)
	default:
		var table []body.KV
		if table, err = body.DecodeKVTable(answer.Body); err == nil {
			v.Facts.addKV(namespace, table)
			return true
		}
	}
	v.unasked("its KV values of "+namespace+" are not compared", err)
	return false
}

func (s *Survey) list(ctx context.Context, t *topics, server int, v *View) {
	p := s.peers[server]
	v.Known[KindTopic] = true
	answer, err := p.Ask(ctx, remoting.GetAllTopicList, nil)
	switch {
	case err != nil:
	case answer.Code == remoting.SystemError && v.Options["enableAllTopicList"] == "false":
		v.Notes = append(v.Notes, "enableAllTopicList=false: it lists no topics, so it is asked for those that the others list")
		return
	case answer.Code != remoting.Success:
		err = refusal(p, answer)
	default:
		if err = t.list(server, answer.Body); err == nil {
			v.listed = true
			return
		}
	}
	v.unasked("it is asked for the topics that the others list alone", err)
}

// unasked takes note of what was not answered: what a NameServer does not know at all is nothing that anybody could mend.
func (v *View) unasked(what string, err error) {
	what += ": " + short(err)
	if r, ok := errors.AsType[*refused](err); ok && r.code == remoting.RequestCodeNotSupported {
		v.Notes = append(v.Notes, what)
		return
	}
	v.Missing = append(v.Missing, what)
}

// wanted are the topics that one NameServer is asked for: those that it lists or, where it lists none, all.
func (s *Survey) wanted(t *topics, server int, v *View) []int32 {
	if v.Fault != nil {
		return nil
	}
	var all []int32
	for i := range t.names {
		if !v.listed || t.listed[server].has(i) {
			all = append(all, int32(i))
		}
	}
	return all
}

// routes fills in the sums.
func (s *Survey) routes(ctx context.Context, t *topics, views []*View, leftOut map[string]bool) {
	var done atomic.Int64
	wanted := make([][]int32, len(s.peers))
	total := 0
	for i, v := range views {
		wanted[i] = s.wanted(t, i, v)
		total += len(wanted[i])
	}
	var all sync.WaitGroup
	for i, v := range views {
		t.sums[i] = make([]uint64, len(t.names))
		if v.Fault == nil {
			all.Go(func() {
				s.routesOf(ctx, t, i, v, wanted[i], leftOut, func() {
					if n := done.Add(1); s.Progress != nil {
						s.Progress(int(n), total)
					}
				})
			})
		}
	}
	all.Wait()
}

func (s *Survey) routesOf(ctx context.Context, t *topics, server int, v *View, wanted []int32, leftOut map[string]bool, step func()) {
	p := s.peers[server]
	var mu sync.Mutex // guards the following
	failed, inARow := 0, 0
	var fault error
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(atOnce, len(wanted)) {
		workers.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(wanted) || ctx.Err() != nil {
					return
				}
				i := wanted[n]
				route, err := s.route(ctx, p, t.names[i])
				mu.Lock()
				if err == nil {
					t.sums[server][i], inARow = t.sum(route, leftOut), 0
					if s.stats != nil {
						s.stats.saw(server, int(i), t.names[i], route)
					}
				} else {
					t.sums[server][i] = unasked
					failed, inARow = failed+1, inARow+1
					fault = err
					if _, waits := errors.AsType[*notReady](err); waits || inARow >= giveUp {
						next.Store(int64(len(wanted)))
						v.Known[KindTopic] = false
					}
				}
				mu.Unlock()
				step()
			}
		})
	}
	workers.Wait()
	if _, waits := errors.AsType[*notReady](fault); waits {
		v.Missing = append(v.Missing, "it is not ready (needWaitForService): it answers no routes until its brokers had time to register")
	} else if fault != nil {
		v.Missing = append(v.Missing, fmt.Sprintf("%d routes were asked for in vain: %s", failed, short(fault)))
		v.Known[KindTopic] = v.Known[KindTopic] && failed < len(wanted)
	}
}

// notReady is a NameServer that waits for its brokers.
type notReady struct{ remark string }

func (n *notReady) Error() string { return n.remark }

// route asks for one route; a topic that is not there has an empty one.
func (s *Survey) route(ctx context.Context, p *Peer, topic string) (*body.TopicRoute, error) {
	answer, err := p.Ask(ctx, remoting.GetRouteInfoByTopic, map[string]string{"topic": topic})
	switch {
	case err != nil:
		return nil, err
	case answer.Code == remoting.TopicNotExist:
		return &body.TopicRoute{}, nil
	case answer.Code == remoting.SystemError && strings.Contains(answer.Remark, "not ready"):
		return nil, &notReady{answer.Remark}
	case answer.Code != remoting.Success:
		return nil, refusal(p, answer)
	}
	route, err := body.DecodeTopicRoute(answer.Body)
	if err != nil {
		return nil, &Fault{p.Addr, Garbage, err}
	}
	return route, nil
}

// refused is an answer with another code than success.
type refused struct {
	addr   string
	code   int32
	remark string
}

func (r *refused) Error() string {
	return fmt.Sprintf("%s: it answers code %d: %s", r.addr, r.code, r.remark)
}

func refusal(p *Peer, answer *remoting.Command) error {
	return &refused{p.Addr, answer.Code, firstLine(answer.Remark)}
}

func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if r := []rune(text); len(r) > 160 {
		text = string(r[:160]) + "..."
	}
	return text
}

// short is an error without the address, which stands before it already.
func short(err error) string {
	text := err.Error()
	if f, ok := errors.AsType[*Fault](err); ok {
		text = strings.TrimPrefix(text, f.Addr+": ")
	} else if r, ok := errors.AsType[*refused](err); ok {
		text = strings.TrimPrefix(text, r.addr+": ")
	}
	return text
}
