package whole

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/world"
)

// scenarios is how many the protocol lists (docs/spec/tombstones.md#scenarios).
const scenarios = 48

// Every scenario is there as a text that tells its story, and each that is no schedule names a test that exists.
func TestScenariosAreComplete(t *testing.T) {
	there := map[int]bool{}
	for _, file := range scenarioFiles(t) {
		name := filepath.Base(file)
		digits := strings.TrimRight(name[:strings.IndexByte(name, '-')], "abc")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > scenarios {
			t.Errorf("%s is no scenario", name)
			continue
		}
		there[n] = true
		text, err := os.ReadFile(file)
		kit.Must(t, err)
		if !strings.HasPrefix(string(text), fmt.Sprintf("# S-%d. ", n)) {
			t.Errorf("%s does not begin with its number and story", name)
		}
		steps, err := world.ReadScenario(string(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		expectations := 0
		for _, st := range steps {
			if strings.HasPrefix(st.Text, "expect ") {
				expectations++
			}
		}
		if where := world.Elsewhere(steps); where != "" {
			expectations++
			checkTest(t, name, where)
		}
		if expectations == 0 {
			t.Errorf("%s expects nothing", name)
		}
	}
	for n := 1; n <= scenarios; n++ {
		if !there[n] {
			t.Errorf("scenario S-%d is missing", n)
		}
	}
}

// checkTest looks for a Go test, "PACKAGE NAME".
func checkTest(t *testing.T, scenario, where string) {
	t.Helper()
	dir, name, _ := strings.Cut(where, " ")
	files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
	kit.Must(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		kit.Must(t, err)
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)") {
			return
		}
	}
	t.Errorf("%s names %s, which does not exist", scenario, where)
}
