package node

import "time"

// workSlice is how long a large registration works between two looks at whether others wait.
const workSlice = 500 * time.Microsecond

// breather lets others have the core, and makes a large registration rest for as long as it worked while route queries come in, so that it never
// takes more than half of a core from them. While none come it runs on without a pause.
type breather struct {
	give    func()        // rpc.Server.Yield
	queries func() uint64 // handled until now
	seen    uint64
	began   time.Time
}

func (p *breather) start(give func(), queries func() uint64) {
	*p = breather{give: give, queries: queries, seen: queries(), began: time.Now()}
}

// yield is called now and then between two pieces of work.
func (p *breather) yield() {
	worked := time.Since(p.began)
	if worked < workSlice {
		p.give()
		return
	}
	if seen := p.queries(); seen != p.seen {
		<-time.After(worked) // nothing to cancel: a rest is short, and the connection's goroutine waits for its own work
		p.seen = p.queries()
	} else {
		p.give()
	}
	p.began = time.Now()
}
