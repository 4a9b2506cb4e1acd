package kit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// keptLines bounds what is kept of a program's output.
const keptLines = 20000

// Process is a running program. Its output is kept in memory, without the logging library's own chatter.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has exited and all output was read

	mu     sync.Mutex
	lines  []string
	tap    func(line string) // told of each line, also of those that are kept no more; may be nil
	grew   chan struct{}     // closed and replaced whenever lines grows
	status int
}

// KillAtEnd kills p when t ends and logs its output when t failed.
func KillAtEnd(t testing.TB, name string, p *Process) {
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("last output of %s:\n%s", name, Tail(p.Output(), 4000))
		}
	})
}

// Start runs a program. It is killed when t ends, if it still runs then, and its output is logged when t failed.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p, err := Exec(cmd)
	if err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	KillAtEnd(t, cmd.Path, p)
	return p
}

// Exec starts any program with both outputs on one pipe; the caller ends it with Kill.
func Exec(cmd *exec.Cmd) (*Process, error) {
	dieWithParent(cmd)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{}), grew: make(chan struct{})}
	go p.read(r)
	return p, nil
}

func (p *Process) read(r io.ReadCloser) {
	defer r.Close()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" && !strings.Contains(line, "|-INFO") {
			p.keep(strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			break
		}
	}
	status := 0
	if err := p.cmd.Wait(); err != nil {
		status = -1
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status = exit.ExitCode()
		}
	}
	p.mu.Lock()
	p.status = status
	p.mu.Unlock()
	close(p.done)
}

func (p *Process) keep(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tap != nil {
		p.tap(line)
	}
	if len(p.lines) == keptLines {
		p.lines = append(p.lines[:0], p.lines[keptLines/2:]...)
	}
	p.lines = append(p.lines, line)
	close(p.grew)
	p.grew = make(chan struct{})
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Tap tells f each line of the output, one at a time, also those that have come already. One f at most, and soon after the start:
// only so many lines are kept.
func (p *Process) Tap(f func(line string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		f(line)
	}
	p.tap = f
}

// Output is what the program printed lately, standard output and error together.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// Line waits until a line of the output matches and returns its submatches. The error tells apart a program that
// exited from one that was too slow, and carries the end of the output.
func (p *Process) Line(re *regexp.Regexp, limit time.Duration) ([]string, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		p.mu.Lock()
		grew := p.grew
		for _, line := range p.lines {
			if m := re.FindStringSubmatch(line); m != nil {
				p.mu.Unlock()
				return m, nil
			}
		}
		p.mu.Unlock()
		select {
		case <-grew:
		case <-p.done:
			if p.lastMatches(re) { // the line and the exit came together
				continue
			}
			return nil, fmt.Errorf("program exited with status %d before printing %q:\n%s", p.status, re, Tail(p.Output(), 4000))
		case <-timer.C:
			return nil, fmt.Errorf("no line %q within %s:\n%s", re, limit, Tail(p.Output(), 4000))
		}
	}
}

func (p *Process) lastMatches(re *regexp.Regexp) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		if re.MatchString(line) {
			return true
		}
	}
	return false
}

// Term asks the program to end (SIGTERM) and does not wait.
func (p *Process) Term() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// Signal sends any signal, e.g. SIGSTOP and SIGCONT.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the program at once (SIGKILL) and waits for it.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Done is closed when the program has exited.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the program's own end and returns its exit status (143 after SIGTERM, -1 when killed).
func (p *Process) Wait(limit time.Duration) (int, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.status, nil
	case <-timer.C:
		return 0, fmt.Errorf("program still runs after %s:\n%s", limit, Tail(p.Output(), 4000))
	}
}

// Tail is the end of a text that may be long.
func Tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
