//go:build unix

package kvconfig

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// A process that is killed while it writes has lost nothing that it said was kept, and the next start takes what is there.
func TestKilledWriter(t *testing.T) {
	held := func(path string) int {
		s, err := Open(path)
		must(t, err)
		value, ok := s.Get("n", "k")
		if !ok {
			return 0
		}
		text, _, _ := strings.Cut(value, " ")
		n, err := strconv.Atoi(text)
		must(t, err)
		return n
	}
	kit.Killed(t, 40, func(path string) func() int {
		s, err := Open(path)
		must(t, err)
		n := held(path)
		return func() int { // to longer values and shorter ones
			n++
			must(t, s.Put("n", "k", fmt.Sprint(n, " ", strings.Repeat("v", n%7*3000))))
			return n
		}
	}, held)
}
