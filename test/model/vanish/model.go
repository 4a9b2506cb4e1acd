package vanish

import "fmt"

const (
	silenceT, silenceD = 3, 2
	freshF, currentF   = 1, 2
	muteTicks          = 3
	never              = currentF + 1
	maxNodes           = 3
)

// What a member says.
const (
	nothing uint8 = iota
	silent
	alive
	abstains
)

// What may happen at a node in a tick.
const (
	hears uint8 = iota
	newOnly
	cut
	asleep
	restarts
	registers
)

// Mutation leaves out one part of the rule.
type Mutation uint8

// Mutations.
const (
	None Mutation = iota
	NoOwnSilence
	QuorumOfReached
	NoContradiction
	ForgetLastWord
	AnySilence
	Pushed
	NeverStale
	NoGap
	NoCalibration
	NoCalibrationNew
	NothingAgrees
	NoNewConnections
	NoPassingOn
	NoGeneration
	QuorumOfOne
	NoLookAfter
	mutations
)

var names = [mutations]string{
	"the rule", "no own silence", "a quorum of whom one reaches", "contradiction ignored", "the last word forgotten", "others' silence of any length",
	"pushed or replayed answers", "answers that never grow old", "silence counted through a suspension", "connections whose probes were never answered",
	"hosts whose new connections were never answered", "holding nothing taken for agreement", "no new connections", "nothing passed on",
	"generation not looked at", "a quorum of one", "no look after an eviction",
}

type node struct {
	hold, cal, evicted, vain bool // vain: the ghost had reached D a tick before
	sil, g                   uint8
}

type word struct {
	age, kind, life, asks uint8
	last, said            bool // said is the ghost of last
}

// World is one state.
type World struct {
	filtered  bool
	deaf      [maxNodes]bool
	node      [maxNodes]node
	word      [maxNodes]word
	late      word // an answer of node 1 on its way; kind nothing: none
	generated bool // a registration came after the silence began
}

// Model is what is searched.
type Model struct {
	Nodes int
	Mut   Mutation
	One   int // 1 + the only node at which anything fails; 0: everything fails everywhere
}

// sound says that nothing fails at a node.
func (m Model) sound(i int) bool { return m.One > 0 && m.One != i+1 }

func up(x *uint8, most uint8) { *x = min(*x+1, most) }

// starts are the worlds at the beginning.
func (m Model) starts() (all []World) {
	for bits := range 1 << (m.Nodes + 1) {
		w := World{filtered: bits&1 == 1}
		possible := true
		for i := range m.Nodes {
			w.deaf[i] = bits>>(i+1)&1 == 1
			w.node[i] = node{hold: true, cal: !w.deaf[i]}
			w.word[i] = word{age: never, life: silenceD}
			possible = possible && !(w.deaf[i] && m.sound(i))
		}
		if possible {
			all = append(all, w)
		}
	}
	return all
}

func (m Model) forget(w *World) {
	for j := range m.Nodes {
		w.word[j] = word{age: never, life: silenceD}
	}
	w.late = word{}
}

// listen is a tick of a node; it says whether the node hears the host.
func (m Model) listen(w *World, i int, o uint8) bool {
	n := &w.node[i]
	n.vain = n.g >= silenceD
	if o == restarts {
		*n = node{vain: n.vain}
		return false
	}
	if o == registers {
		n.hold, n.evicted = true, false
		if m.Mut == NoGeneration && i == 0 {
			w.generated = true
		} else {
			n.sil, n.cal = 0, false
		}
	}
	if o == asleep {
		n.g = 0
		if m.Mut == NoGap {
			up(&n.sil, silenceT)
		} else {
			n.sil = 0
		}
		return false
	}
	flow := n.hold && !w.deaf[i] && (o == hears || o == registers)
	fresh := !w.filtered && (o == hears || o == registers || o == newOnly)
	data := n.hold && o == registers
	life := flow || data || fresh && m.Mut != NoNewConnections
	switch {
	case m.Mut == NoGeneration && i == 0 && o == registers, m.Mut == NoLookAfter && n.evicted:
	case life:
		n.sil, n.evicted = 0, false
	default:
		up(&n.sil, silenceT)
	}
	if flow {
		n.cal = true
	}
	if n.hold && n.cal && !w.filtered && !flow && !fresh && !data {
		up(&n.g, silenceT)
	} else {
		n.g = 0
	}
	return n.hold && (flow || fresh)
}

// votes says that a node may judge, its silence apart.
func (m Model) votes(w *World, i int) bool {
	n := &w.node[i]
	return n.hold && (n.cal || m.Mut == NoCalibration) && (!w.filtered || m.Mut == NoCalibrationNew)
}

// say is what node j answers: its own word, and how old the newest life is that it passes on.
func (m Model) say(w *World, j int, mesh bool, o *[maxNodes]uint8) word {
	n := &w.node[j]
	a := word{kind: abstains, life: silenceD}
	longest := uint8(silenceD)
	if m.Mut == AnySilence {
		longest = 1
	}
	switch {
	case !n.hold:
	case n.sil < longest:
		a.kind, a.life = alive, n.sil
	case m.votes(w, j):
		a.kind = silent
	}
	if mesh && m.Mut != NoPassingOn && n.hold && n.sil > 0 {
		for i := 1; i < m.Nodes; i++ {
			if i != j && o[i] != asleep && w.node[i].hold {
				a.life = min(a.life, w.node[i].sil)
			}
		}
	}
	return a
}

// take takes an answer of a question that was sent age ago.
func (m Model) take(w *word, a word, age uint8) {
	if m.Mut == Pushed {
		age = 0
	}
	if w.life = min(w.life, a.life); age > w.age {
		return
	}
	w.age, w.kind, w.asks = age, a.kind, 0
	w.last = a.kind == alive
	w.said = w.last
}

// judge says whether node 0 evicts, and which promise that breaks.
func (m Model) judge(w *World, o, exchanged *[maxNodes]bool, mesh bool) (evicts bool, broken string) {
	c := &w.node[0]
	if !c.hold || m.Mut != NoOwnSilence && (c.sil < silenceT || !m.votes(w, 0)) {
		return false, ""
	}
	agree, mutes := 1, 0
	for j := 1; j < m.Nodes; j++ {
		a := &w.word[j]
		mute := a.asks >= muteTicks
		if m.Mut != NoContradiction && (a.life < silenceD || a.last && !mute && m.Mut != ForgetLastWord) {
			return false, ""
		}
		answered := a.kind != nothing
		switch {
		case answered && (a.kind == silent || a.kind == abstains && m.Mut == NothingAgrees) && (a.age <= freshF || m.Mut == NeverStale):
			agree++
		case answered && a.age <= currentF:
		case mute:
			mutes++
		default:
			return false, ""
		}
	}
	quorum := max(2, m.Nodes/2+1)
	need := quorum
	switch m.Mut {
	case QuorumOfReached:
		quorum = (m.Nodes-mutes)/2 + 1
	case QuorumOfOne:
		quorum = m.Nodes/2 + 1
	}
	if agree < quorum {
		return false, ""
	}
	inVain := 1
	for j := 1; j < m.Nodes; j++ {
		if w.node[j].g >= silenceD || w.node[j].vain {
			inVain++
		}
	}
	switch {
	case c.g < silenceT:
		return true, "E1: the node itself has not listened in vain for T"
	case inVain < need:
		return true, fmt.Sprintf("E1: %d of %d nodes listened in vain for D", inVain, need)
	case w.generated:
		return true, "E4: a registration that came after the silence began"
	}
	for j := 1; j < m.Nodes; j++ {
		switch a := &w.word[j]; {
		case exchanged[j] && o[j]:
			return true, fmt.Sprintf("E3: node %d hears the host and could say so", j)
		case a.said && a.asks < muteTicks:
			return true, fmt.Sprintf("E3: the last word of node %d was alive", j)
		case exchanged[j] && a.kind == silent && mesh:
			for i := 1; i < m.Nodes; i++ {
				if i != j && o[i] {
					return true, fmt.Sprintf("E3: node %d hears the host, and node %d, which agrees, could have known", i, j)
				}
			}
		}
	}
	return true, ""
}

// next calls yield with each world a tick later.
func (m Model) next(from *World, yield func(w World, evicts bool, broken string)) {
	var o [maxNodes]uint8
	total := 1
	for range m.Nodes {
		total *= int(registers) + 1
	}
	for code := range total {
		possible := true
		for i, x := 0, code; i < m.Nodes; i++ {
			o[i] = uint8(x % (int(registers) + 1))
			x /= int(registers) + 1
			possible = possible && (!m.sound(i) || o[i] == hears || o[i] == registers)
		}
		if possible && o[0] != restarts {
			m.tick(from, o, yield)
		}
	}
}

func (m Model) tick(from *World, o [maxNodes]uint8, yield func(w World, evicts bool, broken string)) {
	w := *from
	var hear [maxNodes]bool
	for i := range m.Nodes {
		hear[i] = m.listen(&w, i, o[i])
	}
	if w.node[0].sil == 0 {
		w.generated = false
	}
	for j := 1; j < m.Nodes; j++ {
		up(&w.word[j].age, never)
		up(&w.word[j].life, silenceD)
		if n := &w.node[j]; n.hold && n.sil >= silenceT && o[j] != asleep && m.votes(&w, j) {
			n.evicted = true // whether it evicted or not, it votes alike, unless it looks no more
		}
	}
	if w.late.kind != nothing {
		up(&w.late.age, never)
		up(&w.late.life, silenceD)
	}
	c := &w.node[0]
	if o[0] == asleep || !c.hold || c.sil == 0 && m.Mut != NoOwnSilence {
		m.forget(&w)
		yield(w, false, "")
		return
	}
	for links := range 1 << m.Nodes { // bit 0: the others among each other
		mesh := links&1 == 1
		if mesh && m.Nodes < 3 || !m.linked(links) {
			continue
		}
		m.talk(w, o, &hear, links, mesh, yield)
	}
}

// linked says that the links between nodes at which nothing fails are there.
func (m Model) linked(links int) bool {
	for j := 1; j < m.Nodes; j++ {
		if m.sound(0) && m.sound(j) && links>>j&1 == 0 {
			return false
		}
	}
	return m.One != 1 || m.Nodes < 3 || links&1 == 1
}

// talk lets node 0 ask the others, and a late answer come or not.
func (m Model) talk(w World, o [maxNodes]uint8, hear *[maxNodes]bool, links int, mesh bool, yield func(w World, evicts bool, broken string)) {
	var exchanged [maxNodes]bool
	said := w.word
	for j := 1; j < m.Nodes; j++ {
		up(&w.word[j].asks, muteTicks)
		if links>>j&1 == 1 && o[j] != asleep {
			exchanged[j] = true
			said[j] = m.say(&w, j, mesh, &o)
		}
	}
	for _, late := range []bool{false, true} { // the answer of node 1 is kept back
		if late && (!exchanged[1] || w.late.kind != nothing) {
			continue
		}
		x, talked := w, exchanged
		for j := 1; j < m.Nodes; j++ {
			if !exchanged[j] {
				continue
			}
			if late && j == 1 {
				x.late = said[1]
				x.late.age, talked[1] = 0, false
				continue
			}
			m.take(&x.word[j], said[j], 0)
		}
		evicts, broken := m.judge(&x, hear, &talked, mesh)
		yield(x, evicts, broken)
		if w.late.kind != nothing {
			if a := w.late; m.Mut != Pushed {
				m.take(&x.word[1], a, a.age)
				x.late = word{}
			} else {
				m.take(&x.word[1], a, 0)
			}
			talked[1] = false
			evicts, broken = m.judge(&x, hear, &talked, mesh)
			yield(x, evicts, broken)
		}
	}
}

// Search looks at all worlds, or at most so many; broken is the first promise that was.
func (m Model) Search(most int) (worlds, steps, evictions int, broken string) {
	seen := map[World]struct{}{}
	queue := m.starts()
	for _, w := range queue {
		seen[w] = struct{}{}
	}
	for len(queue) > 0 && broken == "" && len(seen) < most {
		w := queue[0]
		queue = queue[1:]
		m.next(&w, func(x World, evicts bool, b string) {
			steps++
			if evicts {
				evictions++
			}
			if b != "" && broken == "" {
				broken = fmt.Sprintf("%s: %+v", b, x)
			}
			if _, known := seen[x]; !known {
				seen[x] = struct{}{}
				queue = append(queue, x)
			}
		})
	}
	return len(seen), steps, evictions, broken
}
