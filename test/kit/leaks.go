package kit

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// NoLeaks waits until no goroutine is left but those that options name. goleak itself waits for half a second, which a busy machine
// may need for the end of a goroutine that is told to end.
func NoLeaks(t testing.TB, options ...goleak.Option) {
	t.Helper()
	Await(t, Patience, "that no goroutine is left", func() error { return goleak.Find(options...) })
}

// MainWithoutLeaks is a TestMain that fails if a test leaves a goroutine behind.
func MainWithoutLeaks(m *testing.M) { goleak.VerifyTestMain(patient{m}) }

type patient struct{ *testing.M }

func (m patient) Run() int {
	status := m.M.Run()
	for end := time.Now().Add(Patience); goleak.Find() != nil && time.Now().Before(end); { //nolint:revive // Find waits
	}
	return status
}
