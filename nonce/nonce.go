// Package nonce keeps the questions of one node that are not answered yet. Each try has a nonce and a t0 of its own. An answer
// counts once, and with the t0 of the very try that it answers.
package nonce

import "github.com/epitaph-mq/epitaph/clock"

// Open are questions by nonce. Whoever asks bounds how many there are. Make one with Of.
type Open[Q any] map[uint64]asked[Q]

type asked[Q any] struct {
	question Q
	at       clock.Stamp // t0
}

// Of makes an Open without questions.
func Of[Q any]() Open[Q] { return Open[Q]{} }

// Ask notes a try that is sent at t0, under a nonce of source that no open question has. source gives unpredictable numbers.
func (o Open[Q]) Ask(source func() uint64, q Q, t0 clock.Stamp) uint64 {
	n := source()
	for o.has(n) {
		n = source()
	}
	o[n] = asked[Q]{q, t0}
	return n
}

func (o Open[Q]) has(n uint64) bool {
	_, is := o[n]
	return is
}

// Take ends the question that has the nonce, if fits says that it is what was answered. What does not fit leaves it open: nobody
// can end a question that went to somebody else.
func (o Open[Q]) Take(n uint64, fits func(Q) bool) (q Q, t0 clock.Stamp, ok bool) {
	a, open := o[n]
	if !open || !fits(a.question) {
		return q, t0, false
	}
	delete(o, n)
	return a.question, a.at, true
}

// Find is the open question that has the nonce.
func (o Open[Q]) Find(n uint64) (q Q, open bool) {
	a, open := o[n]
	return a.question, open
}

// Drop ends a question whose answer counts no more.
func (o Open[Q]) Drop(n uint64) { delete(o, n) }
