package rpc

import (
	"runtime"
	"time"
)

// lookEvery is how long work goes on before what has come in meanwhile is looked for.
const lookEvery = 200 * time.Microsecond

// Yield is called now and then in the middle of work that takes a while, without a lock held: it lets others have the core. Go looks for bytes
// that came in when it has nothing else to run, and every 10 ms: who only calls runtime.Gosched is what it has. So connections that are parked
// are woken from here, and run before the caller does.
func (s *Server) Yield() {
	if s.lookIsDue() {
		s.wakeParked()
	}
	runtime.Gosched()
}

// yieldIfDue is Yield unless others have had their turn a moment ago.
func (s *Server) yieldIfDue() {
	if s.lookIsDue() {
		s.wakeParked()
		runtime.Gosched()
	}
}

// lookIsDue says it to one of all who ask.
func (s *Server) lookIsDue() bool {
	last, now := s.looked.Load(), int64(time.Since(s.began))
	return now-last >= int64(lookEvery) && s.looked.CompareAndSwap(last, now)
}

func (s *Server) wakeParked() {
	if s.poller != nil {
		s.poller.look()
	}
}
