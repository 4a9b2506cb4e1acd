package differential

import "github.com/epitaph-mq/epitaph/test/kit"

// entries are the brokers that registered in a sequence and have not left, by connection. They tell where DEV-4
// parts the two servers (ruleSuperseded).
type entries map[int]*entry

type entry struct {
	name, id   string
	disputed   bool // another address had its name and id when it came: an older state version may have been dropped
	superseded bool // another address took its name and id
	filters    bool // it may have filter servers
	stale      bool // its broker name was gone then, or it was dropped with filter servers: only the original still has them
}

// stale says that a step is about a live entry that the original still has and we have not.
func (e entries) stale(st step) bool {
	by := e[st.Conn]
	return by != nil && by.stale && (st.Code == 103 || st.Code == 322 || st.Code == 904)
}

// after follows a step and its answer.
func (e entries) after(st step, a *kit.Answer) {
	by := e[st.Conn]
	switch {
	case st.Code == 103 && a != nil && a != closed && a.Code == 0:
		e.registered(st, by)
	case by != nil && (st.Code == 0 || st.Code == 104 && st.Ext["brokerName"] == by.name):
		delete(e, st.Conn)
		e.left(by.name)
	}
}

func (e entries) registered(st step, before *entry) {
	now := &entry{name: st.Ext["brokerName"], id: st.Ext["brokerId"]}
	now.disputed = before != nil && before.disputed && before.name == now.name && before.id == now.id
	for _, other := range e {
		if other != before && other.name == now.name && other.id == now.id {
			now.disputed = now.disputed || !other.superseded
			other.superseded = true
		}
	}
	now.filters = st.Reg == nil || len(st.Reg.Filters) > 0 || before != nil && before.filters
	now.stale = now.disputed && now.filters
	e[st.Conn] = now
}

// left makes the superseded entries of a name stale when nobody surely keeps the name.
func (e entries) left(name string) {
	for _, other := range e {
		if other.name == name && !other.superseded && !other.disputed {
			return
		}
	}
	for _, other := range e {
		if other.name == name && (other.superseded || other.disputed) {
			other.stale = true
		}
	}
}
