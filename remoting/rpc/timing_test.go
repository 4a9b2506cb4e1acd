package rpc

import (
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
)

// One route query in 64 is timed, every other request is, and the time lasts until the answer is out.
func TestTiming(t *testing.T) {
	var mu sync.Mutex
	times := map[int32][]time.Duration{}
	s := start(t, handlerFunc{serve: func(_ *Conn, req *remoting.Request, _ *remoting.Response) {
		if req.Code == remoting.RegisterBroker {
			<-time.After(20 * time.Millisecond)
		}
	}}, func(c *Config) {
		c.Timed = func(code int32, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			times[code] = append(times[code], took)
		}
	})
	c := dial(t, s)
	in := make([]byte, 64<<10)
	for i := range 3 * timeEvery {
		if _, err := c.Write(request(remotingRoute, i, 0, "")); err != nil {
			t.Fatal(err)
		}
		if err := answers(c, in, 1); err != nil {
			t.Fatal(err)
		}
	}
	var batch []byte
	for i := range timedAtOnce + 2 {
		batch = append(batch, request(int(remoting.RegisterBroker), i, 0, "")...)
	}
	if _, err := c.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := answers(c, in, timedAtOnce+2); err != nil {
		t.Fatal(err)
	}
	// A request is timed when its answer has been written, which may be after the client has read it.
	timed := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(times[remoting.RegisterBroker])
	}
	for deadline := time.Now().Add(10 * time.Second); timed() < timedAtOnce && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	if n := len(times[remoting.GetRouteInfoByTopic]); n != 3 {
		t.Errorf("%d of %d route queries timed", n, 3*timeEvery)
	}
	registers := times[remoting.RegisterBroker]
	if len(registers) < timedAtOnce {
		t.Errorf("%d registrations timed", len(registers))
	}
	for _, took := range registers {
		if took < 20*time.Millisecond {
			t.Errorf("a registration of 20 ms took %v", took)
		}
	}
}
