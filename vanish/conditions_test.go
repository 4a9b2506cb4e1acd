package vanish

import (
	"slices"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/hold"
)

// agreed is three nodes of which the first has everything that an eviction of host 1 takes.
func agreed(t *testing.T) (*world, *Node, *claim) {
	t.Helper()
	w := newWorld(20, 3, 5)
	w.die(1)
	for range 200 {
		w.run(w.step)
		if w.gone(1) > 0 {
			break
		}
	}
	for i, o := range w.nodes {
		if _, is := o.evicted[1]; is {
			w.nodes[0], w.nodes[i] = w.nodes[i], w.nodes[0]
			n := w.nodes[0].Node
			return w, n, n.claims[subject(1)]
		}
	}
	t.Fatal("nobody evicted")
	return nil, nil, nil
}

// TestEachCondition: with everything there a claim goes; with any one thing missing it is kept, and the reason is told.
func TestEachCondition(t *testing.T) {
	ago := func(w *world, d time.Duration) clock.Stamp { return w.at().Add(-d) }
	for what, c := range map[string]struct {
		spoil func(w *world, n *Node, k *claim)
		why   Why
	}{
		"nothing":                  {func(*world, *Node, *claim) {}, Votes},
		"off":                      {func(_ *world, n *Node, _ *claim) { n.cfg.Mode = Off }, SwitchedOff},
		"observing":                {func(_ *world, n *Node, _ *claim) { n.cfg.Mode = Observe }, Votes},
		"not watched":              {func(_ *world, _ *Node, k *claim) { k.line = nil }, NotWatched},
		"stopping":                 {func(_ *world, n *Node, _ *claim) { n.Drain(true) }, Draining},
		"29 s old":                 {func(w *world, n *Node, _ *claim) { n.started = ago(w, 29*time.Second) }, Young},
		"31 s old":                 {func(w *world, n *Node, _ *claim) { n.started = ago(w, 31*time.Second) }, Votes},
		"looked 499 ms ago":        {func(w *world, n *Node, _ *claim) { n.attention.last = ago(w, 499*ms) }, Votes},
		"looked 501 ms ago":        {func(w *world, n *Node, _ *claim) { n.attention.last = ago(w, 501*ms) }, NotLooking},
		"something answers":        {func(_ *world, n *Node, _ *claim) { n.AnsweredFor(true) }, AnsweredFor},
		"two probes were answered": {func(_ *world, _ *Node, k *claim) { k.line.answered = 2 }, Uncalibrated},
		"never a new connection":   {func(_ *world, _ *Node, k *claim) { k.machine.lastAnswer = clock.Stamp{} }, ConnectFiltered},
		"none for ten minutes":     {func(w *world, _ *Node, k *claim) { k.machine.lastAnswer = ago(w, 10*time.Minute+time.Second) }, ConnectFiltered},
		"a gap 4.9 s ago":          {func(w *world, n *Node, _ *claim) { n.attention.from = ago(w, 4900*ms) }, HeardOfLate},
		"heard 4.9 s ago":          {func(w *world, _ *Node, k *claim) { k.machine.life = ago(w, 4900*ms) }, HeardOfLate},
		"three unanswered":         {func(_ *world, _ *Node, k *claim) { k.line.waits = k.line.waits[:3] }, TooLittle},
		"two unanswered":           {func(_ *world, _ *Node, k *claim) { k.line.waits = k.line.waits[:2] }, TooLittle},
		"four unanswered":          {func(_ *world, _ *Node, k *claim) { k.line.waits = k.line.waits[:4] }, Votes},
		"five new connections":     {func(_ *world, _ *Node, k *claim) { k.machine.tries = k.machine.tries[:5] }, TooLittle},
		"six":                      {func(_ *world, _ *Node, k *claim) { k.machine.tries = k.machine.tries[:6] }, Votes},
		"braked":                   {func(_ *world, n *Node, _ *claim) { n.braked = true }, Braked},
		"the claim is on hold":     {func(w *world, n *Node, k *claim) { n.after.holds.Hold(scope{Subject: k.Subject}, ago(w, hold.For-1)) }, OnHold},
		"its hold is over":         {func(w *world, n *Node, k *claim) { n.after.holds.Hold(scope{Subject: k.Subject}, ago(w, hold.For)) }, Votes},
		"all are on hold":          {func(w *world, n *Node, _ *claim) { n.after.holds.Hold(scope{all: true}, ago(w, hold.For-1)) }, OnHold},
		"512 suspect":              {func(_ *world, n *Node, _ *claim) { n.suspects = 512 }, Votes},
		"513 suspect":              {func(_ *world, n *Node, _ *claim) { n.suspects = 513 }, TooMany},
		"life told, 4.9 s old":     {func(w *world, _ *Node, k *claim) { k.asking[0].life.at = ago(w, 4900*ms) }, Contradicted},
		"life told, 5.1 s old":     {func(w *world, _ *Node, k *claim) { k.asking[0].life.at = ago(w, 5100*ms) }, Votes},
		"life passed on":           {func(w *world, _ *Node, k *claim) { k.asking[0].passedOn.at = ago(w, 4900*ms) }, Contradicted},
		"last word alive":          {func(_ *world, _ *Node, k *claim) { k.asking[1].alive = true }, Contradicted},
		"one agrees":               {func(_ *world, _ *Node, k *claim) { k.asking[0].silent = false }, Votes},
		"nobody agrees":            {func(_ *world, _ *Node, k *claim) { k.asking[0].silent, k.asking[1].silent = false, false }, TooFew},
		"answers of 1.1 s ago": {func(w *world, _ *Node, k *claim) {
			k.asking[0].answered, k.asking[1].answered = ago(w, 1100*ms), ago(w, 1100*ms)
		}, TooFew},
		"one of 2.9 s ago":           {func(w *world, _ *Node, k *claim) { k.asking[0].answered = ago(w, 2900*ms) }, Votes},
		"one of 3.1 s ago":           {func(w *world, _ *Node, k *claim) { k.asking[0].answered = ago(w, 3100*ms) }, NotAnswered},
		"one has never answered":     {func(_ *world, _ *Node, k *claim) { k.asking[0].answered = clock.Stamp{} }, NotAnswered},
		"a member tells five nodes":  {func(_ *world, _ *Node, k *claim) { k.asking[0].nodes = 5 }, Votes},
		"a member tells six nodes":   {func(_ *world, _ *Node, k *claim) { k.asking[0].nodes = 6 }, TooFew},
		"six as the operator has it": {func(_ *world, n *Node, _ *claim) { n.cfg.Nodes = 6 }, TooFew},
		"two as the operator has it": {func(_ *world, n *Node, _ *claim) { n.cfg.Nodes = 2 }, MoreNodes},
	} {
		w, n, k := agreed(t)
		c.spoil(w, n, k)
		var e Eviction
		e.Unanswered = 0
		if k.line != nil {
			e.Unanswered = k.line.unansweredSince(k.machine.Life(), w.at())
		}
		if why, _ := n.decide(k, &e, w.at()); why != c.why {
			t.Errorf("%s: %s, want %s", what, why.Name(), c.why.Name())
		}
	}
}

// TestMute: six questions, three seconds, and one by stream that failed or has waited for two; then even a last word no longer stands.
func TestMute(t *testing.T) {
	w, n, k := agreed(t)
	now := w.at()
	mute := word{asks: 6, from: now.Add(-3100 * ms), stream: now.Add(-2100 * ms)}
	for what, c := range map[string]struct {
		change func(o *word)
		want   bool
	}{
		"mute":                            {func(*word) {}, true},
		"five questions":                  {func(o *word) { o.asks = 5 }, false},
		"in 2.9 s":                        {func(o *word) { o.from = now.Add(-2900 * ms) }, false},
		"none by stream":                  {func(o *word) { o.stream = clock.Stamp{} }, false},
		"one by stream, 1.9 s ago":        {func(o *word) { o.stream = now.Add(-1900 * ms) }, false},
		"one by stream that failed":       {func(o *word) { o.stream, o.streamNo = now, true }, true},
		"alive was its last word, once":   {func(o *word) { o.alive = true }, true},
		"alive was its last word, 4.9 s ": {func(o *word) { o.alive, o.life.at = true, now.Add(-4900*ms) }, true},
	} {
		o := mute
		c.change(&o)
		if got := o.mute(now); got != c.want {
			t.Errorf("%s: mute %v", what, got)
		}
	}
	alive := mute
	alive.alive, alive.peer = true, k.asking[0].peer
	k.asking[0] = &alive
	e := Eviction{Unanswered: 4}
	if why, _ := n.decide(k, &e, now); why != Votes || len(e.Mute) != 1 {
		t.Errorf("alive is the last word of a member that is mute: %s, mute %v", why.Name(), e.Mute)
	}
}

// TestAnswersInAnyOrder: an old answer brings its life and nothing else; one to the same question never takes life back.
func TestAnswersInAnyOrder(t *testing.T) {
	silent := Answer{Holds: true, Silent: true, Silence: 6 * time.Second, Life: 6 * time.Second, PassedOn: Never}
	alive := Answer{Holds: true, Life: time.Second, PassedOn: Never}
	var o word
	take := func(a Answer, asked, now time.Duration) { o.take(a, 3, at(asked), 5*time.Second, at(now)) }
	take(silent, 2*time.Second, 2100*ms)
	o.asks = 4
	take(alive, time.Second, 2200*ms)
	if o.alive || !o.silent || o.asks != 4 || o.life.at != at(1200*ms) || o.answered != at(2*time.Second) {
		t.Errorf("after an old answer: %+v", o)
	}
	take(alive, 3*time.Second, 3100*ms)
	take(silent, 3*time.Second, 3200*ms)
	if !o.alive || o.silent || o.asks != 0 {
		t.Errorf("two answers to one question: %+v", o)
	}
	take(silent, 2*time.Second, 3300*ms)
	if !o.alive {
		t.Error("an old answer takes life back")
	}
	take(silent, 4*time.Second, 4100*ms)
	if o.alive || !o.silent {
		t.Errorf("not taken back: %+v", o)
	}
	short := silent
	short.Silence = 4900 * ms
	take(short, 5*time.Second, 5100*ms)
	if o.silent {
		t.Error("silence of any length is taken for an agreement")
	}
	take(Answer{Life: Never, PassedOn: time.Second}, 6*time.Second, 6100*ms)
	if o.passedOn.at != at(5100*ms) || o.silent || o.alive {
		t.Errorf("passed on: %+v", o)
	}
}

// TestLateWord: what was long on its way looks younger than it is, until the same member is asked anew. Who knows nothing any more takes nothing
// back.
func TestLateWord(t *testing.T) {
	for what, c := range map[string]struct {
		then func(o *sign)
		want time.Duration
	}{
		"nothing":                            {func(*sign) {}, 4 * time.Second},
		"asked since, it is longer ago":      {func(o *sign) { o.take(5*time.Second, at(5100*ms), at(5200*ms)) }, 200 * ms},
		"asked since, it is not so long ago": {func(o *sign) { o.take(500*ms, at(5100*ms), at(5200*ms)) }, 4700 * ms},
		"asked before it was in":             {func(o *sign) { o.take(5*time.Second, at(4900*ms), at(5200*ms)) }, 4 * time.Second},
		"asked at that moment":               {func(o *sign) { o.take(5*time.Second, at(5*time.Second), at(5200*ms)) }, 4 * time.Second},
		"asked since, it holds nothing":      {func(o *sign) { o.take(Never, at(5100*ms), at(5200*ms)) }, 4 * time.Second},
		"told unasked":                       {func(o *sign) { o.take(5*time.Second, clock.Stamp{}, at(5200*ms)) }, 4 * time.Second},
		"told unasked, then asked before it": {func(o *sign) {
			o.take(5*time.Second, clock.Stamp{}, at(5200*ms))
			o.take(6*time.Second, at(5100*ms), at(5300*ms))
		}, 4 * time.Second},
		"asked since, and the clocks disagree": {func(o *sign) {
			o.take(5*time.Second, clock.Stamp{Raw: at(4900 * ms).Raw, Boot: at(5100 * ms).Boot}, at(5200*ms))
		}, 4 * time.Second},
	} {
		var o sign
		o.take(time.Second, at(time.Second), at(5*time.Second))
		if c.then(&o); o.at != at(c.want) {
			t.Errorf("%s: life at %v, want %v", what, o.at, at(c.want))
		}
	}
	w, n, k := agreed(t)
	p := k.asking[0].peer
	k.asking[0].life.take(time.Second, clock.Stamp{}, w.at())
	told := k.asking[0].life
	p.Boot++
	n.Members([]Peer{p, k.asking[1].peer}, nil, 3)
	if o := k.words[p.Name]; o.peer != p || o.life != told {
		t.Errorf("of the life before: %+v, want %+v", o, told)
	}
	n.Receive(Alive{From: p, News: []News{{k.Subject, 5 * time.Second}}}, w.at().Add(time.Second))
	if o := k.words[p.Name]; o.life.at != told.at {
		t.Errorf("news that may be older take back newer ones: %+v, want %+v", o.life, told)
	}
}

// TestAskedAgain: a question that was not answered is asked again with the next tick, and twice from then on; one that was, a second later, or a tick
// from T less two seconds on.
func TestAskedAgain(t *testing.T) {
	for silence, want := range map[time.Duration][2]time.Duration{
		3 * time.Second: {time.Second, Tick}, 5900 * ms: {time.Second, Tick}, 6 * time.Second: {Tick, Tick}, 12 * time.Second: {Tick, Tick},
		13 * time.Second: {time.Second, Tick}, 30 * time.Second: {5 * time.Second, time.Second},
	} {
		w, n, k := agreed(t)
		now := w.at()
		k.machine.life = now.Add(-silence - 100*ms)
		o := k.asking[0]
		o.next, o.asks = clock.Stamp{}, 0
		n.Take()
		sent := func(now clock.Stamp) (sent, later int) {
			n.question(now)
			for _, p := range n.Take().Packets {
				if p.To == o.peer && !p.Stream {
					if sent++; p.After > 0 {
						later++
					}
				}
			}
			return sent, later
		}
		if all, later := sent(now); all != 1 || later != 0 {
			t.Errorf("asked %d times, %d later", all, later)
		}
		if got := o.next.Sub(now); got != want[1] {
			t.Errorf("silent for %v: again after %v, want %v", silence, got, want[1])
		}
		if all, later := sent(o.next); all != 2 || later != 1 {
			t.Errorf("in vain, and asked %d times, %d later", all, later)
		}
		o.next = clock.Stamp{}
		sent(now)
		o.take(Answer{Life: 6 * time.Second, PassedOn: Never}, 3, now, 5*time.Second, now.Add(100*ms))
		if got := o.next.Sub(now); got != want[0] {
			t.Errorf("silent for %v: after an answer asked again after %v, want %v", silence, got, want[0])
		}
	}
}

// TestStands: what has been handled of the claim since, another owner, a closed connection or any sign of life keeps it.
func TestStands(t *testing.T) {
	c := Claim{Subject: subject(1), Conn: 4, Generation: 9}
	e := Eviction{Claim: c, After: 8 * time.Second}
	other, newer, moved := c, c, c
	other.Conn++
	newer.Generation++
	moved.Source = source(2)
	for what, s := range map[string]struct {
		held  Claim
		open  bool
		heard time.Duration
		want  bool
	}{
		"as judged": {c, true, 8020 * ms, true}, "heard": {c, true, 8019 * ms, false}, "closed": {c, false, time.Minute, false},
		"another owner": {other, true, time.Minute, false}, "registered since": {newer, true, time.Minute, false}, "another source": {moved, true, time.Minute, false},
	} {
		if got := e.Stands(s.held, s.open, Reading{Heard: s.heard}); got != s.want {
			t.Errorf("%s: stands %v", what, got)
		}
	}
}

// TestHeardBeforeItIsTaken: what is heard of a host between the decision and the tables calls the eviction off. It is no refutation, for nothing was done;
// and the claim is judged on.
func TestHeardBeforeItIsTaken(t *testing.T) {
	decided := func() (*world, *Node, *claim, *Eviction) {
		w, n, k := agreed(t)
		k.held = true
		n.Took(Eviction{Claim: k.Claim}, false)
		n.Take()
		n.judge(k, w.at())
		out := n.Take().Evict
		if len(out) != 1 || !n.Pending(&out[0], w.at()) {
			t.Fatalf("%d evictions, or none that is pending", len(out))
		}
		return w, n, k, &out[0]
	}
	for what, heard := range map[string]func(w *world, n *Node, k *claim){
		"a new connection": func(w *world, n *Node, k *claim) {
			a := k.machine.Ask(n.attention.Since(), w.at().Add(time.Second))
			n.Tried(k.Source, a.Try, Answered, w.at())
		},
		"an ACK": func(w *world, n *Node, k *claim) {
			n.Looked(k.Conn, Reading{Heard: time.Millisecond}, w.at().Add(time.Second))
		},
		"another connection": func(w *world, n *Node, k *claim) {
			n.Heard(k.Source, w.at().Add(-n.times.After+time.Millisecond), w.at())
		},
		"its REGISTER":     func(w *world, n *Node, k *claim) { n.Registered(k.Claim, true, w.at()) },
		"another's":        func(w *world, n *Node, k *claim) { n.Registered(Claim{k.Subject, k.Conn + 100, 1}, true, w.at()) },
		"its UNREGISTER":   func(w *world, n *Node, k *claim) { n.Ended(k.Subject) },
		"its connection's": func(w *world, n *Node, k *claim) { n.Closed(k.Conn) },
	} {
		w, n, k, e := decided()
		heard(w, n, k)
		if n.Pending(e, w.at()) {
			t.Errorf("%s: the eviction is still pending", what)
		}
		n.Took(*e, false)
		if n.counters.Refuted != 0 || n.after.holding(k.Subject, w.at()) || n.counters.Evicted != 1 || len(n.after.gone(w.at())) != 0 {
			t.Errorf("%s: refuted %d times, evicted %d times", what, n.counters.Refuted, n.counters.Evicted)
		}
	}
	for what, then := range map[string]func(w *world, n *Node){
		"three others were refuted": func(w *world, n *Node) { n.after.holds.Hold(scope{all: true}, w.at()) },
		"the node is to be left":    func(_ *world, n *Node) { n.Drain(true) },
		"something answers for all": func(_ *world, n *Node) { n.AnsweredFor(true) },
	} {
		w, n, _, e := decided()
		if then(w, n); n.Pending(e, w.at()) {
			t.Errorf("%s: the eviction is still pending", what)
		}
	}
	w, n, k, e := decided()
	n.Took(*e, true)
	if n.Pending(e, w.at()) {
		t.Error("carried out, and pending")
	}
	n.Looked(k.Conn, Reading{Heard: time.Millisecond}, w.at().Add(time.Second))
	if n.counters.Refuted != 1 {
		t.Errorf("carried out, then heard: refuted %d times", n.counters.Refuted)
	}
}

// TestSleepIsNoSignOfLife: kernels count no time in which their machine sleeps. So a reading after that says that the host was heard later than it was, by the
// clock that does count it: an eviction is not refuted by that.
func TestSleepIsNoSignOfLife(t *testing.T) {
	w, n, k := agreed(t)
	asleep := w.at()
	n.Took(Eviction{Claim: k.Claim}, true)
	asleep.Boot += int64(time.Minute)
	n.Looked(k.Conn, Reading{Heard: 9 * time.Second}, asleep.Add(time.Second))
	if n.counters.Refuted != 0 {
		t.Error("refuted, and nothing was heard")
	}
	n.Looked(k.Conn, Reading{Heard: time.Millisecond}, asleep.Add(2*time.Second))
	if n.counters.Refuted != 1 {
		t.Errorf("heard, and refuted %d times", n.counters.Refuted)
	}
}

// TestStreams: from the fifth question in vain on one goes by stream. One that was held back was not asked: it goes with the next; one that failed is
// as good as two seconds without an answer.
func TestStreams(t *testing.T) {
	w, n, k := agreed(t)
	o := k.asking[0]
	o.asks, o.stream, o.streamNo = 0, clock.Stamp{}, false
	now := w.at()
	ask := func() (nonce uint64, stream bool) {
		now = now.Add(time.Second)
		for _, other := range k.asking {
			other.next = now.Add(time.Minute)
		}
		o.next = clock.Stamp{}
		n.Take()
		n.question(now)
		for _, p := range n.Take().Packets {
			if p.Stream {
				return p.Msg.(Query).Nonce, true
			}
		}
		return 0, false
	}
	for i := 1; i <= 4; i++ {
		if _, stream := ask(); stream {
			t.Errorf("question %d by stream", i)
		}
	}
	nonce, stream := ask()
	if !stream || o.stream != now {
		t.Fatal("the fifth not by stream")
	}
	if n.StreamSent(nonce, HeldBack); !o.stream.IsZero() || o.streamNo {
		t.Errorf("held back: %+v", o)
	}
	if nonce, stream = ask(); !stream {
		t.Fatal("held back, and not asked again")
	}
	if n.StreamSent(nonce, Went); o.stream != now || o.streamNo {
		t.Errorf("went: %+v", o)
	}
	if _, stream := ask(); stream {
		t.Error("asked by stream twice")
	}
	if n.StreamSent(nonce, NotSent); !o.streamNo {
		t.Error("a stream that failed is not noted")
	}
}

// TestRestorationStands: the connection is open, and was heard after the eviction, by more than the kernel's word may be wrong.
func TestRestorationStands(t *testing.T) {
	r := Restoration{Evicted: at(10 * time.Second)}
	for _, c := range []struct {
		open        bool
		heard       time.Duration
		now         time.Duration
		want        bool
		description string
	}{
		{true, 100 * ms, 12 * time.Second, true, "heard of late"},
		{false, 100 * ms, 12 * time.Second, false, "closed"},
		{true, 1900 * ms, 12 * time.Second, true, "heard just after it"},
		{true, 1990 * ms, 12 * time.Second, false, "heard at that moment"},
		{true, 2100 * ms, 12 * time.Second, false, "heard before"},
	} {
		if got := r.Stands(c.open, Reading{Heard: c.heard}, at(c.now)); got != c.want {
			t.Errorf("%s: %v", c.description, got)
		}
	}
	awake := at(12 * time.Second)
	awake.Boot += int64(time.Minute)
	if r.Stands(true, Reading{Heard: 9 * time.Second}, awake) {
		t.Error("heard before, and this node's own machine slept since")
	}
}

// TestWhatIsToBePutBack: what this node took out, once its host is heard on the very connection, until the tables have said what becomes of it.
func TestWhatIsToBePutBack(t *testing.T) {
	heard := func(n *Node, k *claim, now clock.Stamp) []Restoration {
		n.Take()
		n.Looked(k.Conn, Reading{Heard: time.Millisecond}, now)
		return n.Take().Restore
	}
	for what, c := range map[string]struct {
		before func(w *world, n *Node, k *claim, now clock.Stamp)
		want   int
	}{
		"nothing":                    {func(*world, *Node, *claim, clock.Stamp) {}, 1},
		"the tables wait for more":   {func(_ *world, n *Node, k *claim, now clock.Stamp) { heard(n, k, now) }, 1},
		"an answer, and no word yet": {func(_ *world, n *Node, k *claim, now clock.Stamp) { n.Tried(k.Source, 0, Answered, now) }, 1},
		"its REGISTER":               {func(_ *world, n *Node, k *claim, now clock.Stamp) { n.Registered(k.Claim, true, now) }, 0},
		"its connection's end":       {func(_ *world, n *Node, k *claim, _ clock.Stamp) { n.Closed(k.Conn) }, 0},
		"it is put back": {func(w *world, n *Node, k *claim, now clock.Stamp) {
			r := heard(n, k, now)
			if n.Restored(&r[0], true); !k.held {
				t.Error("put back, and not judged again")
			}
		}, 0},
		"there is nothing to put back": {func(w *world, n *Node, k *claim, now clock.Stamp) {
			r := heard(n, k, now)
			if n.Restored(&r[0], false); k.held {
				t.Error("not put back, and judged")
			}
		}, 0},
		"another was put back": {func(_ *world, n *Node, k *claim, _ clock.Stamp) {
			r := Restoration{Claim: k.Claim}
			r.Generation++
			n.Restored(&r, true)
		}, 1},
	} {
		w, n, k := agreed(t)
		now := w.at().Add(time.Second)
		n.Take()
		n.Looked(k.Conn, Reading{Heard: 5 * time.Second}, now)
		now = now.Add(100 * ms)
		now.Boot += int64(time.Minute) // this node's own machine slept
		n.Looked(k.Conn, Reading{Heard: 5 * time.Second}, now)
		if out := n.Take(); len(out.Restore) > 0 || k.out == nil {
			t.Errorf("%s: to be put back by a sign of life before: %+v", what, out.Restore)
		}
		c.before(w, n, k, now)
		if got := heard(n, k, now.Add(time.Second)); len(got) != c.want || c.want > 0 && got[0].Claim != k.Claim {
			t.Errorf("%s: %+v", what, got)
		}
	}
	w, n, k := agreed(t)
	n.Take()
	if n.Tried(k.Source, 0, Answered, w.at()); len(n.Take().Probes) != 1 || !slices.Contains(n.Due(w.at().Add(Tick)), k.Conn) {
		t.Error("an answer came: its connection is neither asked at once nor looked at")
	}
}

// TestStreamIsShared: whoever needs a stream to a member while another one to it is under way, for less than two seconds, waits with that: streams are few,
// and a rack has many hosts. When it is answered, the member can speak, and is asked by a stream of one's own; when it fails, it has failed for both.
func TestStreamIsShared(t *testing.T) {
	for what, c := range map[string]struct {
		before func(w *world, n *Node, q Query) // the second one needs its stream
		after  func(w *world, n *Node, q Query)
		shares bool // what the second one waits with is the stream of the first
		want   func(o *word, first clock.Stamp) bool
	}{
		"under way": {nil, nil, true, func(o *word, first clock.Stamp) bool { return o.stream == first && !o.streamNo }},
		"it fails":  {nil, func(_ *world, n *Node, q Query) { n.StreamSent(q.Nonce, NotSent) }, true, func(o *word, _ clock.Stamp) bool { return o.streamNo }},
		"held back": {nil, func(_ *world, n *Node, q Query) { n.StreamSent(q.Nonce, HeldBack) }, true, func(o *word, _ clock.Stamp) bool { return o.stream.IsZero() }},
		"answered later": {nil, func(w *world, n *Node, q Query) {
			n.Receive(View{From: n.members[0], Nonce: q.Nonce, Nodes: 3, Answers: []Answer{{Life: Never, PassedOn: Never, Why: uint8(NotHeld)}}}, w.at())
		}, true, func(o *word, _ clock.Stamp) bool { return o.stream.IsZero() }},
		"answered before": {func(w *world, n *Node, q Query) {
			n.Receive(View{From: n.members[0], Nonce: q.Nonce, Nodes: 3, Answers: []Answer{{Life: Never, PassedOn: Never, Why: uint8(NotHeld)}}}, w.at())
		}, nil, false, func(o *word, first clock.Stamp) bool { return o.stream == first }}, // of the same moment, and its own
		"2.1 s old": {func(w *world, _ *Node, _ Query) { w.now += 2100 * ms }, nil, false, func(o *word, first clock.Stamp) bool { return o.stream != first }},
	} {
		w, n, _ := agreed(t)
		w.die(2)
		w.run(6 * time.Second)
		first, second := n.claims[subject(1)], n.claims[subject(2)]
		third := func(k *claim) (q Query, stream bool) {
			for _, o := range slices.Concat(first.asking, second.asking) {
				o.next, o.asks = w.at().Add(time.Minute), 0
			}
			o := k.words[n.members[0].Name]
			o.next, o.asks, o.stream, o.streamNo = clock.Stamp{}, streamAsk-1, clock.Stamp{}, false
			n.Take()
			n.question(w.at())
			for _, p := range n.Take().Packets {
				if p.Stream {
					return p.Msg.(Query), true
				}
			}
			return q, false
		}
		clear(n.streams)
		q, stream := third(first)
		asked := w.at()
		if !stream || len(q.Subjects) != 1 {
			t.Fatalf("%s: the first one does not ask by stream: %v", what, q)
		}
		if c.before != nil {
			c.before(w, n, q)
		}
		if _, stream = third(second); stream == c.shares {
			t.Errorf("%s: the second one asks by stream: %v", what, stream)
		}
		if c.after != nil {
			c.after(w, n, q)
		}
		if o := second.words[n.members[0].Name]; !c.want(o, asked) {
			t.Errorf("%s: %+v, the first stream at %v", what, o, asked)
		}
	}
}

// TestSilenceIsCounted: T of it, and no less.
func TestSilenceIsCounted(t *testing.T) {
	for back, want := range map[time.Duration]int{7900 * ms: 0, 8100 * ms: 1} {
		w, n, k := agreed(t)
		n.Took(Eviction{Claim: k.Claim}, false) // the tables kept it: judged as before
		n.Take()
		n.attention.from = w.at().Add(-back)
		n.judge(k, w.at())
		if got := len(n.Take().Evict); got != want {
			t.Errorf("%v of silence: %d evictions", back, got)
		}
	}
}

// TestLimits: 2,000 questions and 4,000 answers a second, of which one member that asks without end has half; a question that was held back was not
// asked in vain.
func TestLimits(t *testing.T) {
	w, n, k := agreed(t)
	n.Members([]Peer{n.members[0], n.members[1], {Name: "n3", Boot: 1}}, nil, 4)
	n.Take()
	q, all := Query{Nonce: 1, Nodes: 3, Subjects: []Subject{k.Subject}}, 0
	for i, member := range n.members {
		q.From = member
		for range answerRate + 500 {
			n.Receive(q, w.at())
		}
		got := len(n.Take().Packets)
		if all += got; got > askRate || all > answerRate || i < 2 && got < askRate-20 {
			t.Errorf("%s is answered %d times at once, all so far %d times", member.Name, got, all)
		}
	}
	n.Members(n.members[1:], nil, 3)
	if len(n.askers) != 2 {
		t.Errorf("%d limits of two members", len(n.askers))
	}
	for n.asking.AllowN(wall(w.at()), 1) {
	}
	k.asking[0].next, k.asking[0].asks = clock.Stamp{}, 0
	n.question(w.at())
	if k.asking[0].asks != 0 || n.counters.Limited == 0 {
		t.Errorf("%d asked in vain, %d held back", k.asking[0].asks, n.counters.Limited)
	}
	q.From.Name = "stranger"
	n.Receive(q, w.at().Add(time.Minute))
	if len(n.Take().Packets) > 0 {
		t.Error("a stranger was answered")
	}
}

// TestLifeIsTold: whoever was told silent is told of life, three times.
func TestLifeIsTold(t *testing.T) {
	w, n, k := agreed(t)
	if len(n.told[k.Subject]) == 0 {
		t.Fatal("nobody was told silent")
	}
	n.Take()
	told := len(n.told[k.Subject])
	n.Heard(k.Source, w.at(), w.at())
	sent := 0
	for _, p := range n.Take().Packets {
		if a, ok := p.Msg.(Alive); ok && a.News[0].Life == 0 && a.Valid() == nil {
			sent++
		}
	}
	if sent != 3*told {
		t.Errorf("told %d times, want three times each of %d", sent, told)
	}
	n.Heard(k.Source, w.at(), w.at())
	if len(n.Take().Packets) > 0 {
		t.Error("told again")
	}
}

// TestLifeIsToldWhateverWasSaid: so is whoever was told of no life by a node that does not vote, or did not hold the claim; not by one that judges nobody, and
// not after half a minute. What is asked of a stranger's subjects is bounded.
func TestLifeIsToldWhateverWasSaid(t *testing.T) {
	news := func(n *Node) (count int) {
		for _, p := range n.Take().Packets {
			if _, ok := p.Msg.(Alive); ok {
				count++
			}
		}
		return count
	}
	for what, c := range map[string]struct {
		before func(n *Node, k *claim)
		pause  time.Duration
		want   int
	}{
		"it does not vote":    {func(n *Node, _ *claim) { n.Drain(true) }, 0, 3},
		"it does not hold it": {func(n *Node, k *claim) { n.Closed(k.Conn) }, 0, 3},
		"29 s later":          {func(n *Node, k *claim) { n.Closed(k.Conn) }, 29 * time.Second, 3},
		"31 s later":          {func(n *Node, k *claim) { n.Closed(k.Conn) }, 31 * time.Second, 0},
		"it judges nobody":    {func(n *Node, k *claim) { n.Closed(k.Conn); n.cfg.Mode = Off }, 0, 0},
		"many others were asked about": {func(n *Node, k *claim) {
			n.Closed(k.Conn)
			for i := range maxTold + len(n.claims) {
				n.say(Subject{Name: "stranger", BrokerID: int64(i), Source: source(99)}, n.members[0], clock.Stamp{Raw: 1, Boot: 1})
			}
		}, 0, 0},
	} {
		w, n, k := agreed(t)
		clear(n.told)
		c.before(n, k)
		n.Receive(Query{From: n.members[0], Nonce: 1, Nodes: 3, Subjects: []Subject{k.Subject}}, w.at())
		now := w.at().Add(c.pause)
		n.forgetTold(now)
		news(n)
		n.Registered(Claim{k.Subject, k.Conn + 100, 1}, true, now)
		if got := news(n); got != c.want {
			t.Errorf("%s: told %d times, want %d", what, got, c.want)
		}
	}
}

// TestEvictedIsLookedAt: who still votes must still look; a host that is back after an hour is heard.
func TestEvictedIsLookedAt(t *testing.T) {
	w, n, _ := agreed(t)
	w.run(time.Minute)
	before := len(n.machines[source(1)].tries)
	w.hosts[1].mute = true
	for i := range w.nodes {
		w.links[i][1].flow = false // it is back, and its old connections are forgotten
	}
	w.rise(1)
	w.run(2 * time.Second)
	if w.gone(1) != 0 || before == 0 {
		t.Errorf("back, and still gone at %d nodes", w.gone(1))
	}
}

// TestAnswerCountsOnce: a second copy would make its news younger.
func TestAnswerCountsOnce(t *testing.T) {
	w, n, k := agreed(t)
	o := k.asking[0]
	o.life, o.answered, o.next = sign{}, clock.Stamp{}, clock.Stamp{}
	n.Take()
	n.question(w.at())
	for _, p := range n.Take().Packets {
		q, ok := p.Msg.(Query)
		if !ok || p.To != o.peer {
			continue
		}
		v := View{From: o.peer, Nonce: q.Nonce, Nodes: 3, Answers: []Answer{{Holds: true, Life: 2 * time.Second, PassedOn: Never}}}
		n.Receive(v, w.at())
		first, refused := o.life, n.counters.RefusedNonce
		n.Receive(v, w.at().Add(3*time.Second))
		if first.at.IsZero() || o.life != first || n.counters.RefusedNonce != refused+1 {
			t.Errorf("life %v, after a second copy %v; %d refused", first, o.life, n.counters.RefusedNonce-refused)
		}
		return
	}
	t.Error("not asked")
}

// TestBackOnAnotherConnection: a host that registers anew is no longer gone for the brake, though the connection that was judged is closed.
func TestBackOnAnotherConnection(t *testing.T) {
	w, n, k := agreed(t)
	if len(n.after.gone(w.at())) != 1 {
		t.Fatal("not gone")
	}
	n.Closed(k.Conn)
	if len(n.after.gone(w.at())) != 1 {
		t.Error("a closed connection brings the host back")
	}
	n.Registered(Claim{subject(1), 999, 1}, true, w.at())
	if got := n.after.gone(w.at()); len(got) != 0 || n.counters.Refuted != 0 {
		t.Errorf("registered anew, and still gone: %v; refuted %d times", got, n.counters.Refuted)
	}
}

// TestAnswerIsAsOldAsItsQuestion: silence that was said on the way for longer than an answer counts is no vote, however late it comes in.
func TestAnswerIsAsOldAsItsQuestion(t *testing.T) {
	w, n, k := agreed(t)
	o, asked := k.asking[0], w.at()
	o.next = clock.Stamp{}
	n.Take()
	n.question(asked)
	for _, p := range n.Take().Packets {
		if q, ok := p.Msg.(Query); ok && p.To == o.peer && !p.Stream {
			a := Answer{Holds: true, Silent: true, Silence: 9 * time.Second, Life: 9 * time.Second, PassedOn: Never}
			n.Receive(View{From: o.peer, Nonce: q.Nonce, Nodes: 3, Answers: []Answer{a}}, asked.Add(2*time.Second))
			if o.answered != asked {
				t.Errorf("asked at %v, counted as of %v", asked, o.answered)
			}
			return
		}
	}
	t.Error("not asked")
}
