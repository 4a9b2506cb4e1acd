package vanished

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/node/connect"
	"github.com/epitaph-mq/epitaph/remoting/rpc"
	"github.com/epitaph-mq/epitaph/vanish"
)

const (
	maxDecisions = 256 // that are remembered
	maxAsked     = 16  // claims of one name or address that a poll asks about
	pollTime     = 2 * time.Second
	pollLook     = 25 * time.Millisecond
)

// Status is what a Shell knows and has done.
type Status struct {
	vanish.Status
	At        clock.Stamp
	Counts    Counts
	Decisions []Decision // newest first
	unwatched map[vanish.Subject]rpc.Unwatched
}

// Decision is what this node decided about a silent host, or what became of that.
type Decision struct {
	At      clock.Stamp
	Kind    Kind
	Claim   vanish.Claim
	Why     vanish.Why    // of Kept; of Evicted: Heir, or nothing
	By      string        // of Kept: the member that is the reason, if one is; of Refuted: what refuted it
	Silence time.Duration // of the host; of Refuted and Restored: the time since the eviction
	// Of Evicted and WouldEvict alone:
	Unanswered, Connects, Nodes, Quorum int
	Agreed, Mute                        []string
}

// Kind is what a Decision is.
type Kind string

// The kinds.
const (
	Evicted    Kind = "evicted"
	WouldEvict Kind = "would_evict"
	Kept       Kind = "kept"
	Refuted    Kind = "refuted"
	Restored   Kind = "restored"
)

// NotJudged are the reasons why the host of a registered broker may not be judged, for programs.
func NotJudged() []string {
	return []string{
		rpc.UnwatchedSource.String(), rpc.UnwatchedProxied.String(), rpc.UnwatchedLocal.String(), rpc.UnwatchedPlatform.String(),
		vanish.AnsweredFor.Name(), vanish.Uncalibrated.Name(), vanish.ConnectFiltered.Name(),
	}
}

// NotJudged says why the host of a claim may not be judged however silent it is: one of the list of that name, or nothing.
func (s *Status) NotJudged(h *vanish.HostStatus, c *vanish.ClaimStatus) string {
	switch {
	case s.Mode == vanish.Off:
		return vanish.SwitchedOff.Name()
	case !c.Watched:
		return s.unwatched[c.Subject].String()
	case s.AnsweredFor:
		return vanish.AnsweredFor.Name()
	case !c.Calibrated:
		return vanish.Uncalibrated.Name()
	case !h.AnswersConnections:
		return vanish.ConnectFiltered.Name()
	}
	return ""
}

// Outcomes are those of new connections, in the order of their numbers.
var Outcomes = []connect.Outcome{connect.Failed, connect.Answered, connect.Refused, connect.ByICMP, connect.Unanswered}

// Messages are the types of messages, for programs.
var Messages = []string{"query", "view", "alive"}

// Refutations are what can refute an eviction, for programs.
var Refutations = []string{"ack", "register", "connect"}

// Status copies what the node knows now.
func (s *Shell) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock()
	st := Status{Status: s.rule.Status(now), At: now, Counts: s.counts.copied(), unwatched: map[vanish.Subject]rpc.Unwatched{}}
	for subject, h := range s.claims {
		st.unwatched[subject] = h.why
	}
	for i := range s.decisions {
		st.Decisions = append(st.Decisions, s.decisions[len(s.decisions)-1-i])
	}
	return st
}

// note remembers a decision. s.mu is held.
func (s *Shell) note(d Decision) {
	d.At = s.cfg.Clock()
	if len(s.decisions) == maxDecisions {
		s.decisions = slices.Delete(s.decisions, 0, 1)
	}
	s.decisions = append(s.decisions, d)
}

// Of are the hosts of brokers of a name, or of an advertised address, with those claims alone.
func (s *Status) Of(broker string) (hosts []vanish.HostStatus) {
	other := func(c vanish.ClaimStatus) bool { return c.Name != broker && c.Addr != broker }
	for _, h := range s.Hosts {
		h.Claims = slices.DeleteFunc(slices.Clone(h.Claims), other)
		if len(h.Claims) > 0 {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// ErrUnknown says that no broker of that name or address is registered here.
var ErrUnknown = errors.New("no broker of that name, or at that address, is registered here")

// Poll asks all nodes now about the brokers of a name or an advertised address, and waits for their answers, for two seconds at most. It
// changes nothing. The Words of the claims of the hosts are the answers. It needs Run.
func (s *Shell) Poll(ctx context.Context, broker string) (st Status, hosts []vanish.HostStatus, err error) {
	st = s.Status()
	hosts = st.Of(broker)
	if len(hosts) == 0 {
		return st, nil, ErrUnknown
	}
	type asked struct {
		into *vanish.ClaimStatus
		poll vanish.Poll
	}
	var polls []asked
	s.mu.Lock()
	s.catchUp(s.cfg.Clock())
	for i := range hosts {
		for j := range hosts[i].Claims {
			c := &hosts[i].Claims[j]
			c.Words = nil
			if len(polls) < maxAsked {
				polls = append(polls, asked{c, s.rule.Ask(c.Subject, s.cfg.Clock())})
			}
		}
	}
	s.mu.Unlock()
	select { // Run carries it out: whoever asks may go away at any time, and what the rule wants done is not only his
	case s.wake <- struct{}{}:
	default:
	}
	done := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !slices.ContainsFunc(polls, func(p asked) bool { return !p.poll.Done() })
	}
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	look := time.NewTicker(pollLook)
	defer look.Stop()
	for over := false; !over && !done(); {
		select {
		case <-ctx.Done():
			over = true
		case <-look.C:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range polls {
		p.into.Words = p.poll.Words(s.cfg.Clock())
	}
	return st, hosts, nil
}
