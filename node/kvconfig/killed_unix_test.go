//go:build unix

package kvconfig

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const writesTo = "EPITAPH_TEST_WRITES" // a process with it writes, see below

// kills is how often the writer is killed; EPITAPH_KILLS=1000 for more.
func kills(t *testing.T) int {
	t.Helper()
	given := os.Getenv("EPITAPH_KILLS")
	if given == "" {
		return 40
	}
	n, err := strconv.Atoi(given)
	must(t, err)
	return n
}

func count(t *testing.T, s *Store) int {
	t.Helper()
	value, ok := s.Get("n", "k")
	if !ok {
		return 0
	}
	text, _, _ := strings.Cut(value, " ")
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// A process that is killed while it writes has lost nothing that it said was kept, and the next start takes what is there.
func TestKilledWriter(t *testing.T) {
	if path := os.Getenv(writesTo); path != "" {
		writeUntilKilled(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "kvConfig.json")
	said := 0
	for run := range kills(t) {
		child := exec.Command(os.Args[0], "-test.run=^TestKilledWriter$")
		child.Env = append(os.Environ(), writesTo+"="+path)
		out, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		lines := bufio.NewScanner(out)
		// From its first change on, at any step of a later one.
		var kill *time.Timer
		for lines.Scan() {
			n, err := strconv.Atoi(lines.Text())
			must(t, err)
			said = n
			if kill == nil {
				kill = time.AfterFunc(time.Duration(rand.IntN(5000))*time.Microsecond, func() { _ = child.Process.Kill() })
			}
		}
		_ = child.Wait()
		if kill == nil {
			t.Fatalf("run %d: the writer ended by itself: %s", run, child.ProcessState)
		}
		s, err := Open(path)
		if err != nil {
			t.Fatalf("run %d, %d was kept: %v", run, said, err)
		}
		if got := count(t, s); got != said && got != said+1 {
			t.Fatalf("run %d: %d changes are there, and %d were said to be kept", run, got, said)
		}
	}
	t.Logf("killed %d times, %d changes", kills(t), said)
}

// writeUntilKilled changes a value again and again, to longer and shorter ones, and says each time that it is kept.
func writeUntilKilled(t *testing.T, path string) {
	s, err := Open(path)
	must(t, err)
	for n := count(t, s) + 1; ; n++ {
		must(t, s.Put("n", "k", fmt.Sprint(n, " ", strings.Repeat("v", n%7*3000))))
		if _, err := fmt.Fprintln(os.Stdout, n); err != nil {
			return
		}
	}
}
