package door

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// From the fifth request at once on each waits, and for longer who is refused; what always has room does not.
func TestRequestsAtOnceWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := &Door{always: health, each: map[netip.Addr]int{}}
		h := d.limited(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/later" {
				<-release
			}
		}))
		ask := func(path string) time.Duration {
			began := time.Now()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
			return time.Since(began)
		}
		var group sync.WaitGroup
		for n := range atOnce + 1 {
			want := time.Duration(0)
			switch {
			case n == atOnce:
				want = refusal
			case n >= crowd:
				want = breath
			}
			if took := ask("/"); took != want {
				t.Errorf("beside %d others: %v, want %v", n, took, want)
			}
			if took := ask(health); took != 0 {
				t.Errorf("health beside %d others: %v", n, took)
			}
			group.Go(func() { ask("/later") })
			synctest.Wait()
		}
		close(release)
		group.Wait()
	})
}
