package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 60 * time.Second // until the first answer; a JVM on a busy machine takes some seconds
	stopLimit  = 5 * time.Second  // between asking a server to stop and killing it
)

// command is how to start a program: in every argument {addr}, {host}, {port}, {next} and {dir} are replaced by HOST:PORT, HOST, PORT, the port
// above it and a directory of its own, which is also its working directory.
type command struct {
	argv  []string
	env   []string                 // NAME=value, beside this process's
	files map[string]string        // files to write into {dir} first; their content is replaced the same way
	begin func(func() error) error // calls what starts the process where it inherits what it is to have; nil: just calls it
	tls   *tls.Config              // what its clients speak; nil: plain text
}

// child is a running server.
type child struct {
	target
	dir    string
	toWait time.Duration // from start to first answer
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process is gone
}

// startChild starts a server afresh on a free port of the loopback address and waits for its first answer.
func startChild(ctx context.Context, c command) (*child, error) {
	return startChildAt(ctx, c, freeAddr())
}

// startChildAt is startChild on a port that was found free.
func startChildAt(ctx context.Context, c command, addr string) (*child, error) {
	ch, err := launchChild(c, addr)
	if err != nil {
		return nil, err
	}
	if err := ch.await(ctx); err != nil {
		err = fmt.Errorf("%w; the end of its output: %s", err, ch.output())
		ch.stop()
		return nil, err
	}
	return ch, nil
}

// launchChild starts a program afresh without waiting for an answer. addr is where it is to listen, "" nowhere.
func launchChild(c command, addr string) (*child, error) {
	dir, err := os.MkdirTemp("", "epitaph-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the program: %w", err)
	}
	ch := &child{dir: dir, target: target{addr: addr, tls: c.tls}}
	if err := ch.start(c); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return ch, nil
}

// freeAddr is a loopback address that refuses connections now. Below the range from which the kernel takes the
// ports of outgoing connections.
func freeAddr() string {
	for port := 22_000 + os.Getpid()%400; ; port++ {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return addr
		}
		conn.Close()
	}
}

func (ch *child) start(c command) error {
	host, port, _ := net.SplitHostPort(ch.addr)
	replace := strings.NewReplacer("{addr}", ch.addr, "{host}", host, "{port}", port, "{next}", nextPort(port), "{dir}", ch.dir).Replace
	for name, content := range c.files {
		path := filepath.Join(ch.dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(replace(content)), 0o644)
		}
		if err != nil {
			return fmt.Errorf("write file for the server: %w", err)
		}
	}
	argv := make([]string, len(c.argv))
	for i, arg := range c.argv {
		argv[i] = replace(arg)
	}
	log, err := os.Create(filepath.Join(ch.dir, "output"))
	if err != nil {
		return fmt.Errorf("make a log file for the server: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ch.dir, log, log
	cmd.SysProcAttr = dieWithParent()
	for _, e := range c.env {
		cmd.Env = append(cmd.Environ(), replace(e))
	}
	began, start := time.Now(), cmd.Start
	if c.begin != nil {
		start = func() error { return c.begin(cmd.Start) }
	}
	if err := start(); err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	ended := make(chan struct{})
	ch.cmd, ch.pid, ch.toWait, ch.ended = cmd, cmd.Process.Pid, time.Since(began), ended
	go func() {
		_ = cmd.Wait() // the exit status of a server that was told to end says nothing
		close(ended)
	}()
	return nil
}

// await polls until the server answers a query, and notes how long that took.
func (ch *child) await(ctx context.Context) error {
	began := time.Now()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ch.ended:
			return fmt.Errorf("%s ended before its first answer", ch.cmd.Path)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-poll.C:
		}
		err := ch.firstAnswer(ctx)
		if err == nil {
			ch.toWait += time.Since(began)
			return nil
		}
		if time.Since(began) > startLimit {
			return fmt.Errorf("%s gave no answer within %v: %w", ch.cmd.Path, startLimit, err)
		}
	}
}

func (ch *child) firstAnswer(ctx context.Context) error {
	c, err := ch.target.caller(ctx)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	f := routeFrame(missPrefix)
	_, err = c.call(startLimit, func(out []byte, seq uint32) []byte { return f.ask(out, 0, seq) })
	return err
}

// over tells whether the process has ended.
func (ch *child) over() bool {
	select {
	case <-ch.ended:
		return true
	default:
		return false
	}
}

// nextPort is the port above one; "" has none.
func nextPort(port string) string {
	n, err := strconv.Atoi(port)
	if err != nil {
		return ""
	}
	return strconv.Itoa(n + 1)
}

// output is the last 500 bytes of what the server printed.
func (ch *child) output() string {
	text, err := os.ReadFile(filepath.Join(ch.dir, "output"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-500):]))
}

// stop ends the server and removes its directory.
func (ch *child) stop() {
	_ = ch.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-ch.ended:
	case <-time.After(stopLimit):
		_ = ch.cmd.Process.Kill()
		<-ch.ended
	}
	_ = os.RemoveAll(ch.dir) // a leftover below the temporary directory harms nobody
}

// restart kills the server and starts it again at the same address and in the same directory. It does not wait for an answer.
func (ch *child) restart(c command) error {
	_ = ch.cmd.Process.Kill() // it may be gone already
	<-ch.ended
	return ch.start(c)
}
