package vanish

import "fmt"

// What is set aside of vanished hosts is put back (docs/spec/deadhosts.md#restore): all worlds of one node's tables, with two members of one broker
// name, each with a key, a host and a connection of its own. In each step one thing happens. Ghosts know what was listed when each was taken, who has
// touched it since, when it registered, and whether its host was heard on its connection.

const members = 2

// ownTime is how many ticks a registration lasts without a REGISTER or heartbeat.
const ownTime = 2

// Hole leaves out one part of the rule by which something is put back.
type Hole uint8

// Holes.
const (
	NoHole Hole = iota
	RegisterTouchesNothing
	UnregisterTouchesNothing
	TombstoneTouchesNothing
	OperatorTouchesNothing
	TopicTouchesNothing
	LossTouchesNothing
	OnlyItsKey
	NoOwnTime
	BeatCounts
	NoOrder
	NoLastLook
	AnyAnswer
	NotByName
	holes
)

var holeNames = [holes]string{
	"the rule", "a REGISTER touches nothing", "an UNREGISTER touches nothing", "a tombstone touches nothing", "an operator's wipe touches nothing",
	"a deleted topic touches nothing", "the loss of another of its name touches nothing", "only what is about its key touches", "its own time is not asked for",
	"a heartbeat counts meanwhile", "in any order", "no look at the last moment", "any answer puts back", "what ended with its name stays away",
}

// settings are those of a broker name. It has none without members.
type settings struct {
	there, writes, topic bool
}

// member is one registration of the name.
type member struct {
	listed, open, aside bool
	later               bool // set aside after the other, which is
	age                 uint8
	pending             bool // its host was heard on its connection, and the tables are about to be asked

	// What stood when it was taken, as the tables keep it:
	last bool // its name ended with it
	kept settings

	// Ghosts:
	out, touched, heard bool
	since               uint8 // ticks since it was registered, or said so
	name                settings
	other               bool // was listed
}

// Tables is one state.
type Tables struct {
	name settings
	m    [members]member
}

// Restorer is what is searched.
type Restorer struct{ Hole Hole }

// void gives up what is set aside of a key, and of the whole name.
func (r Restorer) void(t *Tables, i int) {
	for j := range t.m {
		if j == i || r.Hole != OnlyItsKey {
			t.m[j].aside = false
		}
	}
}

// touch is the truth: whoever is out has been touched.
func touch(t *Tables) {
	for j := range t.m {
		t.m[j].touched = t.m[j].out
	}
}

// drop ends a registration, and the name with the last one.
func drop(t *Tables, i int) {
	t.m[i].listed = false
	if !t.m[1-i].listed {
		t.name = settings{}
	}
}

// lost ends a registration by anything but the rule.
func (r Restorer) lost(t *Tables, i int) {
	drop(t, i)
	touch(t)
	if r.Hole != LossTouchesNothing {
		r.void(t, i)
	}
}

func (r Restorer) register(t *Tables, i int) {
	m := &t.m[i]
	touch(t)
	if r.Hole != RegisterTouchesNothing {
		r.void(t, i)
	}
	if !t.name.there {
		t.name = settings{there: true, writes: true}
	}
	t.name.topic = true
	*m = member{listed: true, open: true, aside: m.aside, later: m.later, last: m.last, kept: m.kept}
}

// evict takes a registration whose host is silent, and sets it aside.
func (r Restorer) evict(t *Tables, i int) {
	m, o := &t.m[i], &t.m[1-i]
	m.name, m.other, m.out, m.touched, m.heard, m.pending = t.name, o.listed, true, false, false, false
	m.kept, m.last, m.aside, m.later = t.name, !o.listed, true, o.aside
	drop(t, i)
}

// restore asks the tables to put a registration back. broken is the promise that this breaks.
func (r Restorer) restore(t *Tables, i int) (broken string) {
	m, o := &t.m[i], &t.m[1-i]
	m.pending = false
	waits := o.aside && o.later // the other was taken later, and has to be back first
	over := m.age > ownTime
	mayNot := !m.out || m.touched || !m.open || !m.heard || m.since > ownTime || m.listed
	if !m.aside || over && r.Hole != NoOwnTime || waits && r.Hole != NoOrder || !m.open && r.Hole != NoLastLook {
		if !mayNot && !o.out {
			return fmt.Sprintf("V-18: %d is not put back, and nothing speaks against it", i)
		}
		return ""
	}
	switch {
	case m.listed:
		return fmt.Sprintf("V-18: %d is put back beside a newer one", i)
	case mayNot:
		return fmt.Sprintf("V-18: %d is put back: touched %t, open %t, heard %t, %d ticks old", i, m.touched, m.open, m.heard, m.since)
	case o.listed != m.other, m.other && t.name != m.name, !m.other && t.name.there:
		return fmt.Sprintf("V-18: %d is put back into other tables than it was taken from", i)
	}
	m.listed, m.aside, m.out = true, false, false
	if m.last && r.Hole != NotByName {
		t.name = m.kept
	} else if m.last {
		t.name = settings{there: true, writes: true, topic: true}
	}
	if t.name != m.name {
		return fmt.Sprintf("V-18: %d is put back, and its name is %+v and was %+v", i, t.name, m.name)
	}
	m.last, m.later, m.kept, m.name, m.other, m.heard, m.touched = false, false, settings{}, settings{}, false, false, false
	return ""
}

// event is something that happens to member i.
type event func(r Restorer, t *Tables, i int) (happened bool, broken string)

func touches(hole Hole, changes func(t *Tables, i int)) event {
	return func(r Restorer, t *Tables, i int) (bool, string) {
		touch(t)
		if r.Hole != hole {
			r.void(t, i)
		}
		changes(t, i)
		return true, ""
	}
}

var events = map[string]event{
	"vanishes": func(r Restorer, t *Tables, i int) (bool, string) {
		if !t.m[i].listed {
			return false, ""
		}
		r.evict(t, i)
		return true, ""
	},
	"is heard": func(_ Restorer, t *Tables, i int) (bool, string) {
		m := &t.m[i]
		m.heard, m.pending = m.out, m.aside
		return m.open, ""
	},
	"answers a new connection": func(r Restorer, t *Tables, i int) (bool, string) {
		t.m[i].pending = t.m[i].pending || r.Hole == AnyAnswer && t.m[i].aside
		return true, ""
	},
	"is asked to be put back": func(r Restorer, t *Tables, i int) (bool, string) {
		if !t.m[i].pending {
			return false, ""
		}
		return true, r.restore(t, i)
	},
	"registers": func(r Restorer, t *Tables, i int) (bool, string) {
		r.register(t, i)
		return true, ""
	},
	"sends a heartbeat": func(r Restorer, t *Tables, i int) (bool, string) {
		m := &t.m[i]
		switch {
		case m.listed:
			m.age, m.since = 0, 0
		case m.aside && r.Hole == BeatCounts:
			m.age = 0
		}
		return m.open, ""
	},
	"unregisters": touches(UnregisterTouchesNothing, func(t *Tables, i int) {
		if t.m[i].listed {
			drop(t, i)
		}
	}),
	"has left, as a tombstone proves": func(r Restorer, t *Tables, i int) (bool, string) {
		m := &t.m[i]
		is := m.listed || m.out
		switch {
		case m.listed:
			r.lost(t, i)
		case m.out:
			touch(t)
			if r.Hole != TombstoneTouchesNothing {
				r.void(t, i)
			}
		}
		return is, ""
	},
	"may not be written to": touches(OperatorTouchesNothing, func(t *Tables, _ int) { t.name.writes = false }),
	"loses its topic": func(r Restorer, t *Tables, i int) (bool, string) {
		for j := range t.m {
			m := &t.m[j]
			m.touched = m.touched || m.out && m.name.topic
			m.aside = m.aside && !(r.Hole != TopicTouchesNothing && m.kept.topic)
		}
		t.name.topic = false
		return i == 0, ""
	},
	"is cut off": func(r Restorer, t *Tables, i int) (bool, string) {
		m := &t.m[i]
		was := m.open
		m.open = false
		if m.listed {
			r.lost(t, i)
		}
		return was, ""
	},
	"grows older": func(r Restorer, t *Tables, i int) (bool, string) {
		for j := range t.m {
			m := &t.m[j]
			up(&m.age, ownTime+1)
			up(&m.since, ownTime+1)
		}
		for j := range t.m {
			if t.m[j].listed && t.m[j].age > ownTime {
				r.lost(t, j)
			}
		}
		return i == 0, ""
	},
}

// Search looks at all worlds.
func (r Restorer) Search() (worlds, back int, broken string) {
	first := Tables{name: settings{there: true, writes: true, topic: true}}
	for i := range first.m {
		first.m[i] = member{listed: true, open: true}
	}
	seen := map[Tables]struct{}{first: {}}
	queue := []Tables{first}
	for len(queue) > 0 && broken == "" {
		from := queue[0]
		queue = queue[1:]
		for what, do := range events {
			for i := range members {
				t := from
				happened, wrong := do(r, &t, i)
				if t.m[i].listed && from.m[i].out && !t.m[i].out && what == "is asked to be put back" {
					back++
				}
				if wrong != "" {
					broken = fmt.Sprintf("%s: %d %s in %+v", wrong, i, what, from)
				}
				if _, known := seen[t]; happened && !known {
					seen[t] = struct{}{}
					queue = append(queue, t)
				}
			}
		}
	}
	return len(seen), back, broken
}
