// Command mutants puts small faults into the program, one at a time, and says which of them no test notices.
//
// The list (faults.txt) has a block for each fault, blank lines between them:
//
//	# T25 each repeated REGISTER restarts the 30 s of the self-check
//	@ tombstone/selfcheck.go
//	! ./tombstone
//	- w.back.IsZero() && w.decision
//	+ w.decision
//
// "#" is the name and what is wrong, "@" the file, "!" the arguments of `go test` for the suite that must notice, "-" the
// lines before and "+" those after (none: the lines go). The lines must stand in the file once. The tree itself is never
// changed: the compiler is given another file in place of the mutated one (go build -overlay), also when a suite builds the
// program by itself.
//
// A survivor, a fault whose place has moved, and one that does not compile are reported; each makes the exit status 1.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

func main() {
	list := flag.String("list", "test/mutants/faults.txt", "the `FILE` with the faults")
	root := flag.String("C", ".", "the checkout to test, a `DIRECTORY`")
	only := flag.String("run", "", "only the faults whose name matches this `REGEXP`")
	atOnce := flag.Int("parallel", 2, "`N` faults at once")
	limit := flag.Duration("timeout", 10*time.Minute, "for one suite; one that takes longer has noticed")
	flag.Parse()
	bad, err := run(os.Stdout, *list, *root, *only, *atOnce, *limit)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if bad > 0 {
		os.Exit(1)
	}
}

// Verdicts on a fault.
const (
	noticed  = "noticed"
	survived = "SURVIVED"
	moved    = "MOVED"
	broken   = "DOES NOT COMPILE"
)

func run(out io.Writer, list, root, only string, atOnce int, limit time.Duration) (bad int, err error) {
	filter, err := regexp.Compile(only)
	if err != nil {
		return 0, fmt.Errorf("-run=%q: %w", only, err)
	}
	text, err := os.ReadFile(list)
	if err != nil {
		return 0, err
	}
	faults, err := parse(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", list, err)
	}
	if root, err = filepath.Abs(root); err != nil {
		return 0, err
	}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		slots = make(chan struct{}, max(1, atOnce))
		count = map[string]int{}
	)
	for _, f := range faults {
		if !filter.MatchString(f.name) {
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			started := time.Now()
			verdict, why := f.try(root, limit)
			mu.Lock()
			defer mu.Unlock()
			count[verdict]++
			if verdict != noticed {
				bad++
			}
			fmt.Fprintf(out, "%-8s %s (%.0f s)%s\n", verdict, f.name, time.Since(started).Seconds(), why)
		})
	}
	group.Wait()
	fmt.Fprintf(out, "%d faults: %d noticed, %d survived, %d moved, %d do not compile\n",
		count[noticed]+bad, count[noticed], count[survived], count[moved], count[broken])
	return bad, nil
}

// fault is one block of the list.
type fault struct {
	name, file    string
	suite         []string
	before, after []string
}

func parse(text string) (all []fault, err error) {
	for at, block := range strings.Split(text, "\n\n") {
		var f fault
		for line := range strings.Lines(strings.TrimSpace(block)) {
			line = strings.TrimRight(line, "\n")
			mark, rest, _ := strings.Cut(line, " ")
			switch mark {
			case "#":
				if f.name != "" {
					return nil, fmt.Errorf("block %d: %q and %q stand together: a blank line is missing", at+1, f.name, rest)
				}
				f.name = rest
			case "@":
				f.file = rest
			case "!":
				f.suite = strings.Fields(rest)
			case "-":
				f.before = append(f.before, rest)
			case "+":
				f.after = append(f.after, rest)
			case "":
			default:
				return nil, fmt.Errorf("block %d: %q begins with none of # @ ! - +", at+1, line)
			}
		}
		if f.name == "" && f.file == "" && f.before == nil {
			continue
		}
		if f.name == "" || f.file == "" || f.suite == nil || f.before == nil {
			return nil, fmt.Errorf("block %d (%s): want a name (#), a file (@), a suite (!) and the lines before (-)", at+1, f.name)
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil, errors.New("lists no fault")
	}
	return all, nil
}

// mutated is the source with the fault; found is how often the lines before stand in it.
func (f *fault) mutated(source string) (text string, found int) {
	before := strings.Join(f.before, "\n")
	return strings.Replace(source, before, strings.Join(f.after, "\n"), 1), strings.Count(source, before)
}

// try runs the suite on the program with the fault.
func (f *fault) try(root string, limit time.Duration) (verdict, why string) {
	path := filepath.Join(root, f.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return moved, "\n  " + err.Error()
	}
	text, found := f.mutated(string(source))
	if found != 1 {
		return moved, fmt.Sprintf("\n  %s: its lines stand there %d times", f.file, found)
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return broken, "\n  " + err.Error()
	}
	defer os.RemoveAll(dir)
	overlay, err := writeOverlay(dir, path, text)
	if err != nil {
		return broken, "\n  " + err.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if output, err := goTool(ctx, root, overlay, "build", "./"+filepath.ToSlash(filepath.Dir(f.file))); err != nil {
		return broken, indented(output)
	}
	args := append([]string{"test", "-count=1", "-vet=off", "-failfast"}, f.suite...)
	output, err := goTool(ctx, root, overlay, args...)
	switch {
	case err == nil && !bytes.Contains(output, []byte("ok  \t")):
		return broken, "\n  the suite has no test" + indented(output)
	case err == nil:
		return survived, "\n  go test " + strings.Join(f.suite, " ")
	case bytes.Contains(output, []byte("[build failed]")) || bytes.Contains(output, []byte("[setup failed]")):
		return broken, indented(output)
	}
	return noticed, "\n  " + firstFailure(output)
}

// firstFailure is the test that noticed.
func firstFailure(output []byte) string {
	for line := range strings.Lines(string(output)) {
		for _, sign := range []string{"--- FAIL:", "panic:", "FAIL\t"} {
			if strings.HasPrefix(strings.TrimSpace(line), sign) {
				return strings.TrimSpace(line)
			}
		}
	}
	return "no test is named"
}

func writeOverlay(dir, path, text string) (overlay string, err error) {
	instead, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: instead}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(os.WriteFile(instead, []byte(text), 0o600), os.WriteFile(overlay, list, 0o600))
}

// goTool runs the go command in root, with the overlay for it and for all that it starts.
func goTool(ctx context.Context, root, overlay string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	cmd.WaitDelay = 10 * time.Second
	return cmd.CombinedOutput()
}

func indented(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return "\n  " + strings.Join(lines[:min(len(lines), 12)], "\n  ")
}
