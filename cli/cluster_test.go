package cli

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/epitaph-mq/epitaph/api"
	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/cli/output"
	"github.com/epitaph-mq/epitaph/cluster"
	"github.com/epitaph-mq/epitaph/test/kit"
)

func demoKey(i int) (name, addr string) {
	return "demo-" + strconv.Itoa(i), "192.0.2." + strconv.Itoa(i) + ":10911"
}

// lookAt is a node that has these brokers registered.
func lookAt(name string, now time.Time, brokers ...int) cluster.Look {
	l := cluster.Look{Name: name, Addr: "127.0.0.1:987" + string('5'+name[1]-'0'), Ready: true, Why: "ready"}
	for _, i := range brokers {
		broker, addr := demoKey(i)
		l.Brokers.Brokers = append(l.Brokers.Brokers, api.Broker{
			Cluster: "DemoCluster", Broker: broker, Addr: addr, Since: now.Add(-time.Duration(i) * 50 * time.Second),
			Registered: now.Add(-time.Duration(i) * 310 * time.Millisecond), Seen: now.Add(-time.Duration(i) * 310 * time.Millisecond),
			Expires: 120_000, Conn: uint64(i * 17),
		})
	}
	return l
}

func sampleWatch(now time.Time) *cluster.Watch {
	w := &cluster.Watch{}
	w.Take(now.Add(-5*time.Second), []cluster.Look{
		lookAt("n1", now.Add(-5*time.Second), 1, 2, 3, 4), lookAt("n2", now.Add(-5*time.Second), 1, 2, 3, 4), lookAt("n3", now.Add(-5*time.Second), 1, 2, 4),
	})
	broker, addr := demoKey(2)
	left := api.Tombstone{Cluster: "DemoCluster", Broker: broker, Addr: addr}
	looks := []cluster.Look{lookAt("n1", now, 1, 3), lookAt("n2", now, 1, 3), lookAt("n3", now, 1)}
	looks[0].Tombstones.Own = []api.Own{{Tombstone: left, Left: now.Add(-2 * time.Second)}}
	looks[2].Tombstones.Own = []api.Own{{Tombstone: left, Left: now.Add(-2 * time.Second)}}
	looks[1].Tombstones.Decisions = []api.Decision{{
		Tombstone: left, At: now.Add(-1997 * time.Millisecond), Verdict: api.Verdict{Outcome: "evicted", Why: "evicted", AgeMS: 3.1},
	}}
	w.Take(now.Add(-time.Second), looks)
	w.Take(now, looks)
	return w
}

func sampleCluster(now time.Time) *clusterScreen {
	p := &program{name: "bin/epitaph"}
	cfg := cluster.DefaultConfig()
	cfg.DemoBrokers = 4
	return &clusterScreen{
		watch: sampleWatch(now), started: now.Add(-42 * time.Second), log: "/tmp/epitaph-cluster-1/cluster.log", warned: 2,
		explain: p.clusterExplained(cfg, 3, []string{"127.0.0.1:9876"}, "127.0.0.1:9886"),
	}
}

func TestClusterScreens(t *testing.T) {
	s := sampleCluster(noon)
	for name, lines := range map[string][]string{
		"cluster": s.draw(80, 24), "cluster_narrow": s.draw(60, 24), "cluster_low": s.draw(80, 12),
	} {
		var text strings.Builder
		for _, line := range lines {
			text.WriteString(strings.TrimRight(cut(line, 1000, false), " ") + "\n")
		}
		golden(t, name, text.String())
		fits(t, text.String())
	}
	s.watch = &cluster.Watch{}
	s.watch.Take(noon, []cluster.Look{{Name: "n1", Addr: "127.0.0.1:1", Why: "not ready: starting"}})
	if text := strings.Join(s.draw(80, 24), "\n"); !strings.Contains(text, "no broker has registered yet") ||
		!strings.Contains(text, "n1 not ready: starting") || !strings.Contains(text, "nobody yet") {
		t.Error(text)
	}
}

// Whatever the terminal's size and the brokers' names, a frame has no line that wraps, and not too many.
func TestClusterScreenFitsAnyTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, height := rapid.IntRange(1, 200).Draw(t, "width"), rapid.IntRange(1, 60).Draw(t, "height")
		s := sampleCluster(noon)
		l := lookAt("n1", noon, 1, 2, 3)
		l.Brokers.Brokers[0].Broker = rapid.StringN(0, 100, 300).Draw(t, "name")
		l.Brokers.Brokers[1].ID = rapid.Int64().Draw(t, "id")
		s.watch = &cluster.Watch{}
		var looks []cluster.Look
		for range rapid.IntRange(1, 10).Draw(t, "nodes") {
			looks = append(looks, l)
		}
		s.watch.Take(noon, looks)
		picture := frame(s.draw(width, height), width, height, false)
		picture = strings.NewReplacer(goHome, "", clearLine, "", clearBelow, "").Replace(picture)
		lines := strings.Split(picture, "\r\n")
		if len(lines) > height {
			t.Errorf("%d lines on a terminal of %d", len(lines), height)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > width || strings.ContainsAny(line, "\x1b\n\t") {
				t.Errorf("%d columns of %d: %q", n, width, line)
			}
		}
	})
}

func TestCut(t *testing.T) {
	line := bold + "abc" + plainText + "défg"
	for width, want := range map[int]string{0: bold + plainText, 2: bold + "ab" + plainText, 5: bold + "abc" + plainText + "dé", 99: line} {
		if got := cut(line, width, true); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	if got := cut(line, 5, false); got != "abcdé" {
		t.Errorf("without colour: %q", got)
	}
}

// The terminal is given back as it was, on whatever way the screen ends.
func TestLiveScreenGivesTheTerminalBack(t *testing.T) {
	r, w, err := os.Pipe()
	kit.Must(t, err)
	defer r.Close()
	screen := &terminal{out: output.NewStream(w), size: func() (width, height int) { return 80, 24 }}
	ctx, cancel := context.WithCancel(t.Context())
	pictures := 0
	go func() {
		defer w.Close()
		screen.live(ctx, time.Millisecond, func(width, height int) []string {
			if pictures++; pictures == 3 {
				cancel()
			} else if pictures == 1 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGWINCH)
			}
			return []string{strconv.Itoa(width) + "x" + strconv.Itoa(height)}
		})
	}()
	all, err := io.ReadAll(r)
	kit.Must(t, err)
	text := string(all)
	if !strings.HasPrefix(text, enterScreen) || !strings.HasSuffix(text, leaveScreen) || strings.Count(text, "80x24") < 3 {
		t.Errorf("%q", text)
	}
}

// A terminal that stands still gets no picture meanwhile, and the newest one when it goes on.
func TestLiveScreenLeavesPicturesOut(t *testing.T) {
	r, w := io.Pipe()
	out := output.NewStream(w)
	out.Detach(nil)
	screen := &terminal{out: out, size: func() (width, height int) { return 80, 24 }}
	ctx, cancel := context.WithCancel(t.Context())
	const stalls, goesOn = 20, 40
	pictures, seen := 0, make(chan string, 1)
	screen.live(ctx, time.Millisecond, func(int, int) []string {
		switch pictures++; pictures {
		case stalls:
			go func() {
				text, err := io.ReadAll(r)
				if err != nil {
					t.Error(err)
				}
				seen <- string(text)
			}()
		case goesOn:
			cancel()
		}
		return []string{"picture " + strconv.Itoa(pictures)}
	})
	out.Close(kit.Patience)
	w.Close()
	text := <-seen
	for _, n := range []int{2, stalls / 2, stalls - 1} {
		if strings.Contains(text, "picture "+strconv.Itoa(n)+clearLine) {
			t.Errorf("picture %d was kept for a terminal that stood still", n)
		}
	}
	if !strings.HasSuffix(text, leaveScreen) || out.Dropped() != 0 {
		t.Errorf("%d dropped: %q", out.Dropped(), text)
	}
}

// Without a terminal: a first screen that says what is to be seen, the nodes' log, all in order until the signal.
func TestClusterCommand(t *testing.T) {
	out, stdout := io.Pipe()
	log := &kit.Log{}
	p := &program{stdout: stdout, stderr: log, newNode: newNode}
	status := make(chan int, 1)
	go func() {
		status <- p.main([]string{"epitaph", "cluster", "--listen", "127.0.0.1:0", "--demo-brokers", "2", "--data", t.TempDir()})
		stdout.Close()
	}()
	first := make(chan string, 1)
	rest := make(chan string, 1)
	go func() {
		var seen []byte
		buf := make([]byte, 4096)
		for told := false; ; {
			n, err := out.Read(buf)
			seen = append(seen, buf[:n]...)
			if !told && strings.Contains(string(seen), "Stop with Ctrl-C.") {
				told = true
				first <- string(seen)
			}
			if err != nil {
				rest <- string(seen)
				return
			}
		}
	}()
	text := <-first
	for _, want := range []string{"3 nodes in one process", "n3    127.0.0.1:", "EVICTED", "epitaph tombstones -a 127.0.0.1:"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the first screen:\n%s", want, text)
		}
	}
	fits(t, text)
	log.AwaitText(t, "broker registered")
	kit.Must(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	if got := <-status; got != command.OK {
		t.Errorf("exit status %d: %s", got, log)
	}
	<-rest
}

func TestClusterMistakes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	kit.Must(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"--nodes 0 --demo-brokers 1000 --log-level loud", command.Usage, "--nodes=0: want 1 to 10"},
		{"--demo-brokers 1000 --log-level loud", command.Usage, `--log-level="loud"`},
		{"surplus", command.Usage, `cluster takes no argument "surplus"`},
		{"--listen " + taken.Addr().String(), command.Failed, "or choose other ports, such as --listen 127.0.0.1:19876"},
		{"--data " + file + "/below", command.Failed, "give another directory, or none for a temporary one"},
	} {
		status, out, errs := run(append([]string{"cluster"}, strings.Fields(c.args)...)...)
		if status != c.status || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%s: status %d, %q, %q; want %d with %q", c.args, status, out, errs, c.status, c.want)
		}
	}
}

func TestClusterSummary(t *testing.T) {
	want := "Stopping. In the last ten minutes 1 broker left by UNREGISTER;\n" +
		"a node that had missed it evicted the broker 1 time, after at most 3.1ms."
	if got := clusterSummary(sampleWatch(noon)); got != want {
		t.Errorf("%s", got)
	}
}
