//go:build unix

package kit

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const writesTo = "EPITAPH_TEST_WRITES" // a process with it writes to that path

// Killed plays power cuts: the calling test runs anew as a process that changes a file again and again and says so of each
// change that is kept, and is killed at any step. What the file holds then must be the change that was said last, or the one after.
// runs is how often; EPITAPH_KILLS=1000 for more. In the process that writes, writer makes what makes the next change and answers
// its number; held is the number of the change that the file of path holds, 0 when there was none.
func Killed(t *testing.T, runs int, writer func(path string) (next func() int), held func(path string) int) {
	t.Helper()
	if path := os.Getenv(writesTo); path != "" {
		for next := writer(path); ; {
			if _, err := fmt.Fprintln(os.Stdout, next()); err != nil {
				return
			}
		}
	}
	if given := os.Getenv("EPITAPH_KILLS"); given != "" {
		var err error
		runs, err = strconv.Atoi(given)
		Must(t, err)
	}
	path, said := filepath.Join(t.TempDir(), "file"), 0
	for run := range runs {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), writesTo+"="+path)
		out, err := child.StdoutPipe()
		Must(t, err)
		Must(t, child.Start())
		lines := bufio.NewScanner(out)
		// From its first change on, at any step of a later one.
		var kill *time.Timer
		for lines.Scan() {
			n, err := strconv.Atoi(lines.Text())
			Must(t, err)
			said = n
			if kill == nil {
				kill = time.AfterFunc(time.Duration(rand.IntN(5000))*time.Microsecond, func() { _ = child.Process.Kill() })
			}
		}
		_ = child.Wait()
		if kill == nil {
			t.Fatalf("run %d: the writer ended by itself: %s", run, child.ProcessState)
		}
		if got := held(path); got != said && got != said+1 {
			t.Fatalf("run %d: %d changes are there, and %d were said to be kept", run, got, said)
		}
	}
	t.Logf("killed %d times, %d changes", runs, said)
}
