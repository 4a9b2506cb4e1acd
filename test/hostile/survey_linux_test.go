package hostile

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// diff -n of many topics takes seconds and little memory: hashes first, and routes again only where they differ.
func TestDiffOfManyTopics(t *testing.T) {
	if os.Getenv("EPITAPH_HOSTILE") != "long" {
		t.Skip("SKIPPED: takes two minutes of three nodes; make night-hostile has it")
	}
	for _, c := range []struct {
		topics, rate int
		within       time.Duration
		memory       int64 // bytes resident at most
	}{
		{10_000, 2000, 15 * time.Second, 64 << 20},
		{100_000, 10_000, 5 * time.Minute, 64 << 20},
	} {
		t.Run(fmt.Sprint(c.topics), func(t *testing.T) {
			var names, addrs []string
			for i := range c.topics {
				names = append(names, fmt.Sprintf("a-topic-with-a-name-of-usual-length-%06d", i))
			}
			binary := kit.Binary(t)
			for i := range 3 {
				n := kit.Serve(t, binary, fmt.Sprint(i), t.TempDir())
				addrs = append(addrs, n.Addr)
				told := names[:len(names)-i]            // one and two topics are missing at the second and the third
				for k := 0; k*50_000 < len(told); k++ { // a registration has 16 MiB at most
					b := kit.NewBroker(t, fmt.Sprintf("broker-%d", k), fmt.Sprintf("10.0.0.%d:10911", k+1), told[k*50_000:min((k+1)*50_000, len(told))]...)
					b.Register(t, n.Addr)
				}
			}
			cmd := exec.Command(binary, "diff", "--settle=1s", "--rate", fmt.Sprint(c.rate), "-n", strings.Join(addrs, ","))
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			began := time.Now()
			kit.Must(t, cmd.Start())
			resident := highWater(t.Context(), cmd.Process.Pid)
			_ = cmd.Wait() // the status is looked at below
			took := time.Since(began)
			t.Logf("%d topics at 3 nodes: %v, %d MB resident", c.topics, took.Round(time.Millisecond), resident>>20)
			if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), names[c.topics-1]) {
				t.Fatalf("exit status %d:\n%s", cmd.ProcessState.ExitCode(), kit.Tail(out.String(), 2000))
			}
			if took > c.within || resident > c.memory {
				t.Errorf("took %v (at most %v) and %d MB (at most %d)", took, c.within, resident>>20, c.memory>>20)
			}
		})
	}
}

// highWater watches a process until it ends, and returns the most that was resident. Its rusage would begin with what this
// process had when it started it.
func highWater(ctx context.Context, pid int) (bytes int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, text, found := strings.Cut(string(status), "VmHWM:")
		if err != nil || !found { // gone, or a zombie
			break
		}
		var kb int64
		if _, err := fmt.Sscan(text, &kb); err == nil {
			bytes = max(bytes, kb<<10)
		}
		<-tick.C
	}
	return bytes
}
