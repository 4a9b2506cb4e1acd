package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What an idle server may weigh: its file in bytes, its memory in kB as the kernel counts it. The memory that gossip
// and HTTP may add is for both together.
const (
	maxFile      = 16_600_000
	maxAnonymous = 3 << 10
	maxResident  = 15 << 10
	maxAdded     = 3 << 10
	settled      = 10 * time.Second // after its start
)

func TestWeight(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short; it waits for servers to settle; make test has it")
	}
	binary := kit.Binary(t)
	info, err := os.Stat(binary)
	kit.Must(t, err)
	if os.Getenv("GOGC") != "" || os.Getenv("EPITAPH_BIN") != "" {
		t.Log("GOGC or EPITAPH_BIN is set: this is not the server as shipped")
	}
	t.Logf("file: %d bytes", info.Size())
	if info.Size() > maxFile {
		t.Errorf("the server has %d bytes, want at most %d: go version -m and go tool nm -size tell what is in it", info.Size(), maxFile)
	}
	if text, err := os.ReadFile(binary); err != nil || bytes.Contains(text, []byte("text/template.(*Template).Execute")) {
		t.Errorf("the server can execute a text/template, which calls methods by name: the linker keeps every exported one for it (%v)", err)
	}
	both := []string{"--gossip", "127.0.0.1:0", "--cluster", "c", "--http", "127.0.0.1:0"}
	// All run at once; the least of three is what the server needs, the rest is what a busy machine does to it.
	var alone, busy []*kit.Process
	for range 3 {
		alone, busy = append(alone, serve(t, binary)), append(busy, serve(t, binary, both...))
	}
	<-time.After(settled)
	anonymous, resident := least(t, "RssAnon", alone), least(t, "VmRSS", alone)
	added := least(t, "VmRSS", busy) - resident
	t.Logf("RssAnon %d kB, VmRSS %d kB; with gossip and HTTP %d kB more", anonymous, resident, added)
	if anonymous > maxAnonymous || resident > maxResident || added > maxAdded {
		t.Errorf("want at most RssAnon %d kB, VmRSS %d kB, and %d kB more", maxAnonymous, maxResident, maxAdded)
	}
}

func serve(t *testing.T, binary string, flags ...string) *kit.Process {
	t.Helper()
	return kit.Start(t, exec.Command(binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", t.TempDir()}, flags...)...))
}

// least is the smallest value of a line of /proc/PID/status, in kB.
func least(t *testing.T, line string, all []*kit.Process) int {
	t.Helper()
	var values []int
	for _, p := range all {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
		kit.Must(t, err)
		found := regexp.MustCompile(line + `:\s+(\d+) kB`).FindSubmatch(text)
		if found == nil {
			t.Skipf("SKIPPED: this kernel does not tell %s, so nothing is known of the server's memory", line)
		}
		kb, err := strconv.Atoi(string(found[1]))
		kit.Must(t, err)
		values = append(values, kb)
	}
	return slices.Min(values)
}
