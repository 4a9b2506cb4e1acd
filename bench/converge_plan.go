package bench

import (
	"math/rand/v2"
	"time"
)

// departure is one planned trial.
type departure struct {
	brokers []int         // who leaves, by index
	origin  int           // the node that handles the first UNREGISTER
	heard   []int         // the nodes that handle it after that, in this order
	deaf    []int         // the nodes that miss it
	far     []int         // of them, those on the other side of a partition
	pause   time.Duration // before it
}

// digestsDone is when many nodes have told each other that they no longer hold the broker before: on few cores that
// many packets would be in the next departure's way.
const digestsDone = 600 * time.Millisecond

// plan decides who leaves, where, and who misses it: the same arguments make the same plan.
func plan(seed uint64, fault Fault, nodes, brokers, trials int) []departure {
	rng := rand.New(rand.NewPCG(seed, uint64(nodes)<<32|uint64(len(fault))))
	all := make([]departure, trials)
	for t := range all {
		order := rng.Perm(nodes)
		d := departure{brokers: []int{t % brokers}, origin: order[0]}
		switch fault {
		case MissAllButOne:
			d.deaf = order[1:]
		case OriginDies:
			d.heard, d.deaf = order[1:2], order[2:]
		case MissOne, Mass:
			d.heard, d.deaf = order[1:nodes-1], order[nodes-1:]
		}
		if fault == Mass {
			d.brokers = rng.Perm(brokers)
		}
		d.far = d.deaf[:(len(d.deaf)+1)/2]
		d.pause = 30*time.Millisecond + time.Duration(rng.Int64N(int64(40*time.Millisecond)))
		if nodes >= manyNodes {
			d.pause += digestsDone
		}
		all[t] = d
	}
	return all
}
