package differential

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Limits of pair.settling: for a machine that is busy, and for sequences that are known to go apart.
const (
	longSettling  = 30 * time.Second
	shortSettling = 3 * time.Second
)

// pair is both servers.
type pair struct {
	java, ours string
	met        map[string]int // wanted differences by rule
	played     int            // steps
	prefixes   int
	settling   time.Duration // how long the tables of both may differ after what the original applies later
}

// difference is where a sequence went apart.
type difference struct {
	at   int // index of the step
	text string
}

// play runs a sequence under fresh names; nil when nothing differs.
func (p *pair) play(steps []step) (d *difference, err error) {
	p.prefixes++
	prefix := fmt.Sprintf("%x.%x.", p.prefixes, rand.Uint32())
	java := &side{addr: p.java, conns: map[int]net.Conn{}}
	ours := &side{addr: p.ours, conns: map[int]net.Conn{}}
	v := view{prefix: prefix, met: func(rule string) { p.met[rule]++ }}
	ended := false
	defer func() {
		if left := p.cleanup(v, steps, java, ours); left != "" && d == nil && err == nil && !ended {
			d = &difference{len(steps) - 1, "tables after all brokers, topics and keys were taken out:\n" + left}
		}
	}()
	registered := map[int]string{} // connection -> address
	live := entries{}
	for i, st := range steps {
		if live.stale(st) {
			v.met(ruleSuperseded)
			ended = true
			return nil, nil
		}
		p.played++
		opaque := int32(1000 + i)
		a, err := java.ask(prefix, st, opaque)
		if err != nil {
			return nil, fmt.Errorf("java, step %d %v: %w", i, st, err)
		}
		b, err := ours.ask(prefix, st, opaque)
		if err != nil {
			return &difference{i, fmt.Sprintf("ours gave no answer: %v; java: %s", err, headerOf(a))}, nil
		}
		if text := v.compare(st, a, b); text != "" {
			return &difference{i, text}, nil
		}
		if refused(st, a) {
			v.met(ruleRefused)
			ended = true
			return nil, nil
		}
		live.after(st, a)
		if st.Code == 103 && a != nil && a.Code == 0 {
			registered[st.Conn] = under(prefix, st.Ext["brokerAddr"])
		}
		if st.Code == 0 {
			if err := p.gone(prefix, ours, registered[st.Conn]); err != nil {
				return &difference{i, err.Error()}, nil
			}
			delete(registered, st.Conn)
		}
		if st.Code == 0 || st.Code == 104 || st.Oneway {
			if text, err := p.quiet(v, st, java, ours); err != nil || text != "" {
				if err != nil {
					return nil, err
				}
				return &difference{i, "tables after it:\n" + text}, nil
			}
		}
	}
	return nil, nil
}

func headerOf(a *kit.Answer) string {
	if a == nil {
		return "no answer either"
	}
	return a.Header
}

// gone waits until ours lists an address no more.
func (p *pair) gone(prefix string, ours *side, addr string) error {
	for deadline := time.Now().Add(p.settling); addr != ""; {
		a, err := ours.ask(prefix, looks[0], 1)
		if err != nil {
			return err
		}
		if !strings.Contains(string(a.Body), `"`+addr+`"`) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("ours still lists %s, whose connection was lost", addr)
		}
		<-time.After(time.Millisecond)
	}
	return nil
}

// looks are the queries that show whether an asynchronous change has been applied.
var looks = []step{{Conn: 99, Code: 106, Version: 513}, {Conn: 99, Code: 206, Version: 513}}

// quiet waits until both servers show the same tables: the original applies UNREGISTER, one-way requests and lost
// connections some time after it has read them.
func (p *pair) quiet(v view, st step, java, ours *side) (string, error) {
	// Ours first: what it has applied is what Java must come to. On a connection, an answer says that everything before it
	// was applied; a lost connection is applied when no address registered on it is left.
	if st.Oneway {
		if _, err := ours.ask(v.prefix, step{Conn: st.Conn, Code: 999, Version: 513}, 1); err != nil {
			return "", fmt.Errorf("ours, after a one-way request: %w", err)
		}
	}
	looks := looks
	if st.Code == 100 || st.Code == 102 {
		looks = []step{{Conn: 99, Code: 219, Version: 513, Ext: st.Ext}}
	}
	prefix := v.prefix
	v.met = func(string) {}
	deadline := time.Now().Add(p.settling)
	for {
		text := ""
		for _, look := range looks {
			a, err := java.ask(prefix, look, 1)
			if err != nil {
				return "", fmt.Errorf("java, looking: %w", err)
			}
			b, err := ours.ask(prefix, look, 1)
			if err != nil {
				return "", fmt.Errorf("ours, looking: %w", err)
			}
			if text = v.compare(look, a, b); text != "" {
				break
			}
		}
		if text == "" || time.Now().After(deadline) {
			return text, nil
		}
		<-time.After(2 * time.Millisecond)
	}
}

// cleanup takes the sequence's names out of both servers and restores the options. It returns what then still differs.
func (p *pair) cleanup(v view, steps []step, java, ours *side) string {
	defer java.close()
	defer ours.close()
	seen := map[string]bool{}
	options := ""
	for name, value := range liveOptions {
		options += name + "=" + value + "\n"
	}
	undo := []step{{Conn: 98, Code: 318, Version: 513, Body: options}}
	for _, st := range steps {
		switch {
		case st.Code == 103 && !seen[st.Ext["brokerAddr"]]:
			seen[st.Ext["brokerAddr"]] = true
			undo = append(undo, step{Conn: 98, Code: 104, Version: 513, Ext: st.Ext})
		case st.Code == 100 && st.Ext["namespace"] != "" && st.Ext["key"] != "":
			undo = append(undo, step{Conn: 98, Code: 102, Version: 513, Ext: st.Ext})
		}
	}
	for i := range topicNames {
		name := fmt.Sprintf("%st%d%s", place, i, hostile[i%len(hostile)])
		undo = append(undo, step{Conn: 98, Code: 216, Version: 513, Ext: map[string]string{"topic": name}})
	}
	for _, s := range []*side{java, ours} {
		for _, st := range undo {
			if _, err := s.ask(v.prefix, st, 1); err != nil {
				return err.Error()
			}
		}
	}
	left, err := p.quiet(v, undo[0], java, ours)
	if err != nil {
		return err.Error()
	}
	return left
}

// legal says that no connection registers as two brokers: shortening must not make sequences that are not generated.
func legal(steps []step) bool {
	who := map[int]string{}
	for _, st := range steps {
		switch st.Code {
		case 0:
			delete(who, st.Conn)
		case 103:
			id := st.Ext["clusterName"] + " " + st.Ext["brokerName"] + " " + st.Ext["brokerAddr"]
			if who[st.Conn] != "" && who[st.Conn] != id {
				return false
			}
			who[st.Conn] = id
		case 104: // the broker has left: this connection must end before another one is on it
			who[st.Conn] = "left"
		}
	}
	return true
}

// shorten leaves out steps as long as the sequence goes apart all the same.
func (p *pair) shorten(steps []step, limit time.Duration) ([]step, *difference) {
	deadline := time.Now().Add(limit)
	p.settling = shortSettling
	last, err := p.play(steps)
	if err != nil || last == nil {
		return steps, last
	}
	steps = steps[:last.at+1]
	for size := len(steps) / 2; size > 0 && time.Now().Before(deadline); size /= 2 {
		for from := 0; from+size < len(steps) && time.Now().Before(deadline); {
			fewer := append(append([]step{}, steps[:from]...), steps[from+size:]...)
			if !legal(fewer) {
				from += size
				continue
			}
			if d, err := p.play(fewer); err == nil && d != nil {
				steps, last = fewer[:d.at+1], d
				continue
			}
			from += size
		}
	}
	return steps, last
}
