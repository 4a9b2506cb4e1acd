package rpc

import (
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

const (
	// timeEvery is the share of route queries that are timed: reading the clock twice costs a tenth of one.
	timeEvery = 64
	// timedAtOnce is how many requests of one batch are timed; more tell little and need room in every connection.
	timedAtOnce = 4
)

// timings are requests under way whose time is taken: from when the frame was decoded until its answer was handed to
// the socket. Only the goroutine that serves the connection touches them.
type timings struct {
	count int
	begun [timedAtOnce]struct {
		code int32
		at   int64 // nanoseconds since epoch
	}
}

// epoch makes short numbers of Go's monotonic clock.
var epoch = time.Now()

// begin takes the time of a request, if it is one of those that are timed: every route query in timeEvery, and all
// others, which are rare. queries counts those of the connection from its number on, so that short ones are sampled too.
func (t *timings) begin(queries *uint32, code int32) {
	if code == remoting.GetRouteInfoByTopic {
		if *queries++; *queries%timeEvery != 0 {
			return
		}
	}
	if t.count < len(t.begun) {
		t.begun[t.count].code, t.begun[t.count].at = code, int64(time.Since(epoch))
		t.count++
	}
}

// end tells the times of all requests begun, whose answers are out.
func (t *timings) end(tell func(code int32, took time.Duration)) {
	now := int64(time.Since(epoch))
	for _, b := range t.begun[:t.count] {
		tell(b.code, time.Duration(now-b.at))
	}
	t.count = 0
}
