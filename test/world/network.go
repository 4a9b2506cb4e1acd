package world

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Network says who hears whom, and what becomes of datagrams between the nodes.
type Network struct {
	rng                      *rand.Rand
	Loss, Duplicate, Corrupt float64
	Lag                      time.Duration // longest delay of every datagram beyond the usual half millisecond
	Slow                     time.Duration // longest delay of every fifth datagram; reordering follows from both
	Cut                      [][]bool      // nothing passes
	NoUDP                    [][]bool      // only streams pass
}

func (net *Network) init(rng *rand.Rand, n int) {
	net.rng, net.Slow = rng, 2*time.Millisecond
	for range n {
		net.Cut = append(net.Cut, make([]bool, n))
		net.NoUDP = append(net.NoUDP, make([]bool, n))
	}
}

// Calm ends every fault between the nodes.
func (net *Network) Calm() {
	net.Loss, net.Duplicate, net.Corrupt, net.Lag, net.Slow = 0, 0, 0, 0, 2*time.Millisecond
	for i := range net.Cut {
		clear(net.Cut[i])
		clear(net.NoUDP[i])
	}
}

// Lost says that a datagram does not arrive.
func (net *Network) Lost(from, to int) bool { return net.NoUDP[from][to] || chance(net.rng, net.Loss) }

// Damaged says that a datagram arrives, but not as it was sent.
func (net *Network) Damaged() bool { return chance(net.rng, net.Corrupt) }

// Delays are how long each copy of a datagram is on its way.
func (net *Network) Delays(each func(time.Duration)) {
	copies := 1
	if chance(net.rng, net.Duplicate) {
		copies = 2
	}
	for range copies {
		d := between(net.rng, 100*time.Microsecond, 500*time.Microsecond+net.Lag)
		if chance(net.rng, 0.2) {
			d = between(net.rng, 0, net.Slow)
		}
		each(d)
	}
}

// StreamDelay is how long a part of a stream is on its way.
func (net *Network) StreamDelay() time.Duration {
	return between(net.rng, 100*time.Microsecond, 500*time.Microsecond+net.Lag)
}

// Flip is b with some bits flipped.
func (net *Network) Flip(b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + net.rng.IntN(4) {
		b[net.rng.IntN(len(b))] ^= 1 << net.rng.IntN(8)
	}
	return b
}

// Replayable bounds the packets that are kept for replays.
const Replayable = 256

// Heard are packets that were sent, for replays.
type Heard[P any] []P

// Keep keeps a packet; when there are too many, in the place of any other.
func (h *Heard[P]) Keep(rng *rand.Rand, p P) {
	if len(*h) < Replayable {
		*h = append(*h, p)
	} else {
		(*h)[rng.IntN(Replayable)] = p
	}
}

// Some are n of the packets, in any order.
func (h Heard[P]) Some(rng *rand.Rand, n int) (some []P) {
	for _, i := range rng.Perm(len(h))[:min(n, len(h))] {
		some = append(some, h[i])
	}
	return some
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(rng.Int64N(int64(high-low)))
}

func chance(rng *rand.Rand, p float64) bool { return p > 0 && rng.Float64() < p }
