package cluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/epitaph-mq/epitaph/node/played"
)

// How the demo brokers live. A real broker registers every 30 s and expires after 120 s of silence.
const (
	demoFirst    = 3 * time.Second  // from the start until the first of them leaves
	demoEvery    = 3 * time.Second  // from one leaving to the next
	demoRegister = time.Second      // from REGISTER to REGISTER
	demoAway     = 7 * time.Second  // from leaving to coming back
	demoSilence  = 10 * time.Second // after which a broker that is going to vanish expires, where one node alone never takes a host for vanished
	demoGone     = 25 * time.Second // from vanishing to coming back: longer than silence and scan
	demoUnheard  = 12 * time.Second // for which one node hears nothing of a host that lives
	demoKnown    = 8 * time.Second  // from registering until every node may judge the host
)

// fate is how a life of a demo broker ends.
type fate int

const (
	fateMissed  fate = iota // it unregisters, but one node does not hear it
	fateCrash               // its connections close: every node sees it by itself
	fateLeft                // it unregisters everywhere
	fateVanish              // its host is gone: the connections stay open and nothing comes any more
	fateUnheard             // it lives on, and one node hears nothing of its host for a while
)

// fates is the order in which the brokers end, whichever is next. What epitaph is for comes first and most. Nodes judge no host in their first 30 s, and
// only one that is silent among these few: so the last two are far apart.
var fates = []fate{
	fateMissed, fateMissed, fateCrash, fateMissed, fateLeft, fateMissed, fateLeft, fateUnheard, fateMissed, fateCrash, fateMissed, fateLeft, fateVanish,
}

// ending is one step of the plan.
type ending struct {
	fate    fate
	missing int // with fateMissed and fateUnheard: the node that does not hear it; else -1
}

// plan is the turn-th ending: the nodes, from the second on, miss theirs in turn. With one node there is nothing to miss.
func plan(turn, nodes int) ending {
	e := ending{fate: fates[turn%len(fates)], missing: -1}
	switch {
	case e.fate != fateMissed && e.fate != fateUnheard:
		return e
	case nodes < 2:
		e.fate = fateLeft
		return e
	case e.fate == fateUnheard:
		e.missing = turn % nodes
		return e
	}
	missed := 0 // so far
	for before := range turn {
		if fates[before%len(fates)] == fateMissed {
			missed++
		}
	}
	e.missing = (missed + 1) % nodes
	return e
}

// demo is a set of synthetic brokers that come, go and crash until stopped.
type demo struct {
	names  []string // of the nodes
	nodes  []string // where they listen
	hosts  *played.Hosts
	log    *slog.Logger
	cancel context.CancelFunc
	group  sync.WaitGroup
}

func startDemo(brokers int, names, nodes []string, hosts *played.Hosts, log *slog.Logger) *demo {
	ctx, cancel := context.WithCancel(context.Background())
	d := &demo{names: names, nodes: nodes, hosts: hosts, log: log, cancel: cancel}
	ends, silences := make([]chan ending, brokers), make([]chan ending, brokers)
	for i := range ends {
		ends[i], silences[i] = make(chan ending), make(chan ending)
		d.group.Go(func() { d.lives(ctx, i, ends[i], silences[i]) })
	}
	d.group.Go(func() { d.run(ctx, ends, silences) })
	return d
}

// stop lets all brokers leave and waits for them. A nil demo has none.
func (d *demo) stop() {
	if d != nil {
		d.cancel()
		d.group.Wait()
	}
}

// run ends one broker after the other; by silence only one that has been there for a while.
func (d *demo) run(ctx context.Context, ends, silences []chan ending) {
	timer := time.NewTimer(demoFirst)
	defer timer.Stop()
	for turn, next := 0, 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		e, to := plan(turn, len(d.nodes)), ends
		if e.fate == fateVanish || e.fate == fateUnheard {
			to = silences
		}
		if who := offer(to, next, e); who >= 0 {
			turn, next = turn+1, who+1
		}
		timer.Reset(demoEvery)
	}
}

// offer gives e to the first broker from next on that is there to take it; -1: none is.
func offer(ends []chan ending, next int, e ending) int {
	for i := range ends {
		who := (next + i) % len(ends)
		select {
		case ends[who] <- e:
			return who
		default:
		}
	}
	return -1
}

// lives is one broker, life after life, until ctx ends.
func (d *demo) lives(ctx context.Context, i int, ends, silences <-chan ending) {
	for ctx.Err() == nil {
		b := newBroker(i, time.Now())
		if err := b.connect(ctx, d.nodes); err != nil {
			if ctx.Err() == nil {
				d.log.Warn("demo broker cannot register, trying again", "err", err)
			}
			b.close()
			wait(ctx, demoRegister)
			continue
		}
		away := demoAway
		if d.live(ctx, b, ends, silences) == fateVanish {
			away = demoGone
		}
		wait(ctx, away)
		b.close() // what is left of it: the next life has connections of its own
		d.hosts.Heal("", b.advertised())
	}
}

// live registers b again and again until its end comes, and ends it.
func (d *demo) live(ctx context.Context, b *broker, ends, silences <-chan ending) fate {
	beat := time.NewTicker(demoRegister)
	defer beat.Stop()
	heal := time.NewTimer(demoUnheard)
	defer heal.Stop()
	heard := func() {
		if b.deaf >= 0 {
			d.hosts.Heal(d.names[b.deaf], b.advertised())
			b.deaf = -1
		}
	}
	defer heard()
	for {
		next, silence := ends, silences
		if b.deaf >= 0 { // one thing at a time
			next, silence = nil, nil
		} else if time.Since(b.started) < demoKnown {
			silence = nil
		}
		var e ending
		select {
		case <-heal.C:
			heard()
			continue
		case <-beat.C:
			if err := b.register(ctx); err != nil && ctx.Err() == nil {
				d.log.Warn("demo broker cannot register", "err", err)
			}
			continue
		case e = <-next:
		case e = <-silence:
		case <-ctx.Done(): // the cluster stops: it leaves in order
			d.end(context.WithoutCancel(ctx), b, ending{fate: fateLeft, missing: -1})
			return fateLeft
		}
		if e.fate != fateUnheard {
			d.end(ctx, b, e)
			return e.fate
		}
		b.deaf = e.missing
		d.hosts.Silence(d.names[b.deaf], b.advertised())
		heal.Reset(demoUnheard)
	}
}

func (d *demo) end(ctx context.Context, b *broker, e ending) {
	var err error
	switch e.fate {
	case fateMissed, fateLeft:
		err = b.unregister(ctx, e.missing)
	case fateCrash:
		b.close()
	case fateVanish:
		if len(d.nodes) < 2 { // nobody should have to wait two minutes to see what that does
			b.timeout = demoSilence
			err = b.register(ctx)
		}
		d.hosts.Silence("", b.advertised())
	}
	if err != nil {
		d.log.Warn("demo broker cannot say what it has to", "err", err)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
