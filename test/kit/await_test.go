package kit

import (
	"errors"
	"testing"
)

type fakeT struct{ told []any }

func (*fakeT) Helper()             {}
func (t *fakeT) Fatal(args ...any) { t.told = append(t.told, args...) }

func TestMust(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	var fake fakeT
	if Must(&fake, nil, nil); len(fake.told) != 0 {
		t.Errorf("without an error: %v", fake.told)
	}
	if Must(&fake, nil, first, second); len(fake.told) == 0 || fake.told[0] != first {
		t.Errorf("told %v, want the first error", fake.told)
	}
}
