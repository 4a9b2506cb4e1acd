package routes

import "github.com/epitaph-mq/epitaph/clock"

// registerUnchanged applies a registration whose body equals the last accepted one of this registration. Brokers send the
// same body every 30 seconds, so reading it again is most of what a quiet cluster costs.
//
// It is allowed where register would do nothing but overwrite the broker's description, the live entry and the answer:
// the id stands at this address and was made by this registration, so no member moves, nothing is first, no
// state versions are compared and nothing is refused; the data version is equal, because an equal body that carries one
// was accepted last, so that topics and mappings are applied only where they are missing. Missing they are not, when the
// last registration put them all there (complete) and no entry of the broker was erased since (216, an
// unregistration, the option that deletes unlisted topics), or when this one may not write topics at all.
// A write permission that was wiped in between stays wiped, as it does when the body is read.
func (s *state) registerUnchanged(r *Registration, now clock.Stamp) (res RegisterResult, eff Effects, ok bool) {
	b, e := s.byName[r.Name], s.visible(r.key())
	if b == nil || e == nil || !s.sameAgain(b, e, r) {
		return res, eff, false
	}
	s.void(r.key(), r.Name)
	changedA := b.describe(r)
	s.renew(e, r, now, true, &eff)
	if changedA {
		s.touch(b)
	}
	s.askMaster(b, r, &res)
	return res, eff, true
}

func (s *state) sameAgain(b *broker, e *live, r *Registration) bool {
	if !r.Print.Valid || e.print != r.Print || e.broker != b || e.id != r.ID || r.Addr == "" {
		return false
	}
	i, had := b.byID(r.ID)
	if !had || b.members[i].live != e {
		return false
	}
	if r.ID != MasterID && !b.prime(r) {
		return true
	}
	return e.complete && e.erasedAt == b.erased && !s.opts.DeleteUnlistedTopics
}
