package kit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

type fakeT struct{ told string }

func (*fakeT) Helper()             {}
func (t *fakeT) Fatal(args ...any) { t.told += fmt.Sprint(args...) }

func TestMust(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	var fake fakeT
	if Must(&fake, nil, nil); fake.told != "" {
		t.Errorf("without an error: %q", fake.told)
	}
	if Must(&fake, nil, first, second); !strings.HasPrefix(fake.told, "first") {
		t.Errorf("told %q, want the first error", fake.told)
	}
}
