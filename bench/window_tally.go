package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// WindowClient is what one client did and saw from the moment on when something happened to the broker. Times are seconds
// since then.
type WindowClient struct {
	Round     int     `json:"round"`
	Name      string  `json:"name"`
	Sends     int     `json:"sends"` // that began within the time that is watched
	Failed    int     `json:"failed"`
	Retried   int     `json:"retried"` // sends of more than one attempt
	P99       float64 `json:"p99_ms"`
	FirstFail float64 `json:"first_failed_s,omitempty"`
	LastFail  float64 `json:"last_failed_s,omitempty"`
	Failure   string  `json:"failure,omitempty"` // text of the first that failed
	Gone      float64 `json:"route_gone_s"`      // when its route ceased to name the broker for good; -1: it still does
	Received  int     `json:"received,omitempty"`
	Gap       float64 `json:"gap_s,omitempty"` // the longest time without a message

	before int // sends that failed before
	took   histogram
}

// between is from the first to the last send that failed, in seconds.
func (c *WindowClient) between() float64 { return c.LastFail - c.FirstFail }

// sending tells whether the client sends.
func (c *WindowClient) sending() bool { return !strings.HasPrefix(c.Name, windowConsumer+"-") }

// windowEvent is one line of a program with clients.
type windowEvent struct {
	kind, client string
	at           time.Time
	took         time.Duration // SEND
	count        int           // SEND: attempts; ROUTE: 1 it names the broker; GOT: messages
	failure      string        // SEND: "": it was sent
}

// readWindow reads the output of a program with clients. What is no event (a client's own complaints, a line half written) is
// passed over.
func readWindow(in io.Reader, take func(windowEvent)) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil // without its end: half written
		}
		if err != nil {
			return fmt.Errorf("read what clients did: %w", err)
		}
		if e, ok := parseWindow(strings.TrimSuffix(line, "\n")); ok {
			take(e)
		}
	}
}

func parseWindow(line string) (e windowEvent, ok bool) {
	var ms, us int64
	switch e.kind, _, _ = strings.Cut(line, " "); e.kind {
	case "SEND":
		var verdict string
		if n, err := fmt.Sscanf(line, "SEND %s %d %d %d %s", &e.client, &ms, &us, &e.count, &verdict); n != 5 || err != nil {
			return e, false
		}
		if verdict != "OK" {
			_, text, _ := strings.Cut(line, " FAIL")
			e.failure = strings.TrimSpace("failed " + strings.TrimSpace(text))
		}
	case "ROUTE", "GOT":
		if n, err := fmt.Sscanf(line, e.kind+" %s %d %d", &e.client, &ms, &e.count); n != 3 || err != nil {
			return e, false
		}
	default:
		return e, false
	}
	e.at, e.took = time.UnixMilli(ms), time.Duration(us)*time.Microsecond
	return e, true
}

// windowTally adds up what clients did around a moment.
type windowTally struct {
	moment, end time.Time // the zero moment: nothing has happened yet
	clients     map[string]*WindowClient
	named       map[string]bool
	good        map[string]int       // sends that succeeded, and messages received
	last        map[string]time.Time // when a consumer last received something
}

func newWindowTally(moment time.Time, watch time.Duration) *windowTally {
	return &windowTally{
		moment: moment, end: moment.Add(watch), clients: map[string]*WindowClient{},
		named: map[string]bool{}, good: map[string]int{}, last: map[string]time.Time{},
	}
}

func (t *windowTally) client(name string) *WindowClient {
	c := t.clients[name]
	if c == nil {
		c = &WindowClient{Name: name, took: newHistogram()}
		t.clients[name] = c
	}
	return c
}

// take counts one event. Those of one client come in the order of time.
func (t *windowTally) take(e windowEvent) {
	c, since := t.client(e.client), e.at.Sub(t.moment).Seconds()
	switch e.kind {
	case "ROUTE":
		t.named[e.client] = e.count == 1
		if e.count == 0 {
			c.Gone = max(since, 0) // a route that named it no more before has nothing to lose
		}
	case "GOT":
		t.good[e.client] += e.count
		if !e.at.Before(t.moment) && e.at.Before(t.end) {
			t.gap(c, e.at)
			c.Received += e.count
		}
		t.last[e.client] = e.at
	case "SEND":
		if e.failure == "" {
			t.good[e.client]++
		}
		switch {
		case e.at.Before(t.moment):
			if e.failure != "" {
				c.before++
			}
		case e.at.Before(t.end):
			t.send(c, e, since)
		}
	}
}

func (t *windowTally) send(c *WindowClient, e windowEvent, since float64) {
	c.Sends++
	c.took.record(e.took)
	if e.count > 1 {
		c.Retried++
	}
	if e.failure == "" {
		return
	}
	if c.Failed++; c.Failed == 1 {
		c.FirstFail, c.Failure = since, e.failure
	}
	c.LastFail = since
}

// gap notes how long a consumer has received nothing until at.
func (t *windowTally) gap(c *WindowClient, at time.Time) {
	from := t.moment
	if last := t.last[c.Name]; last.After(from) {
		from = last
	}
	c.Gap = max(c.Gap, at.Sub(from).Seconds())
}

// finish ends the counting.
func (t *windowTally) finish() {
	for name, c := range t.clients {
		if t.named[name] {
			c.Gone = -1
		}
		if !c.sending() {
			t.gap(c, t.end)
		}
		c.P99 = c.took.summary().P99 / 1e3
	}
}

// ready says which of the clients has not sent, or received, or does not name the broker yet; "": all have.
func (t *windowTally) ready(names []string) string {
	for _, name := range names {
		switch {
		case !t.named[name]:
			return name + " has no route that names the broker"
		case t.good[name] < windowReady:
			return name + " has not sent or received enough yet"
		}
	}
	return ""
}

// windowReady is how many messages a client has sent or received before anything happens.
const windowReady = 5
