package wire

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// connectionsTo counts the established connections whose far end is a local port.
func connectionsTo(t *testing.T, port int) int {
	t.Helper()
	count := 0
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(path)
		kit.Must(t, err)
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) > 3 && fields[3] == "01" && strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", port)) {
				count++
			}
		}
	}
	return count
}

func TestDeviation10NoConnectionToItself(t *testing.T) {
	s := own(t, options{})
	port := portOf(t, s.addr)
	deviation(t, "DEV-10", func() error {
		seen := kit.Within(awaited(5*time.Second), func() error {
			if connectionsTo(t, port) == 0 {
				return errors.New("none so far")
			}
			return nil
		})
		if seen == nil {
			return errors.New("the server is connected to itself")
		}
		return nil
	})
}
