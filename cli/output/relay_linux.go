package output

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// relay is the child process that empties our pipe.
type relay struct {
	argv   []string
	old    *os.File // what descriptor 2 was
	ours   *os.File // the end of the pipe that the child reads; held, so that another child can go on
	life   *os.File // its other end closes with this process
	alive  *os.File
	closed chan struct{}
	once   sync.Once
	ended  chan struct{}
}

// relayAgain is how long after its end a child is followed by another one.
const relayAgain = time.Second

func relayStderr(argv []string) (*Stderr, error) {
	fd, err := unix.FcntlInt(stderrFD, unix.F_DUPFD_CLOEXEC, stderrFD+1)
	if err != nil {
		return nil, fmt.Errorf("double stderr: %w", err)
	}
	var pipe, life [2]int
	err = unix.Pipe2(pipe[:], unix.O_CLOEXEC)
	if err == nil {
		err = unix.Pipe2(life[:], unix.O_CLOEXEC)
	}
	if err == nil {
		err = unix.SetNonblock(pipe[1], true) // the child's end is another description and waits
	}
	if err != nil {
		return nil, fmt.Errorf("make a pipe for stderr: %w", err)
	}
	r := &relay{
		argv: argv, old: os.NewFile(uintptr(fd), "stderr"), ours: os.NewFile(uintptr(pipe[0]), "pipe"),
		alive: os.NewFile(uintptr(life[0]), "life"), life: os.NewFile(uintptr(life[1]), "life"),
		closed: make(chan struct{}), ended: make(chan struct{}),
	}
	child, err := r.start()
	if err != nil {
		return nil, err
	}
	to := os.NewFile(uintptr(pipe[1]), "stderr")
	if err := putAsStderr(to); err != nil {
		return nil, err
	}
	go r.keep(child)
	return &Stderr{File: to, relay: r}, nil
}

func (r *relay) start() (*exec.Cmd, error) {
	// The link is followed before anything is looked up: the program may have been replaced on disk.
	child := &exec.Cmd{
		Path: "/proc/self/exe", Args: r.argv, Env: []string{"GOMAXPROCS=1"},
		Stdin: r.ours, Stdout: r.old, ExtraFiles: []*os.File{r.alive},
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("start a process that empties stderr: %w", err)
	}
	return child, nil
}

// keep has a child at work until the end.
func (r *relay) keep(child *exec.Cmd) {
	defer close(r.ended)
	for {
		if child != nil {
			_ = child.Wait() // whatever it died of, another one goes on
		}
		select {
		case <-r.closed:
			return
		case <-time.After(relayAgain):
		}
		child, _ = r.start()
	}
}

// Close ends the use of descriptor 2, and gives a child process so long to bring out what it holds.
func (s *Stderr) Close(within time.Duration) {
	if s == nil || s.relay == nil {
		return
	}
	s.relay.once.Do(func() {
		close(s.relay.closed)
		_ = putAsStderr(s.relay.old)
		s.File.Close()
	})
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-s.relay.ended:
	case <-timer.C:
	}
}

// Times of a relay.
const (
	relayRetry  = 250 * time.Millisecond // until a write that was refused is tried again
	relayLinger = time.Second            // for what is left, once the program is gone
)

// Relay is the child's work: it hands on from stdin to stdout until stdin ends. When nobody takes it, it waits, and does
// so for the program too, which counts what finds no room. Once the program is gone it gives up after a second.
func Relay() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE) // meant for the program
	alive := os.NewFile(3, "life")
	done, orphan := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(retrying{os.Stdout}, os.Stdin)
	}()
	go func() {
		defer close(orphan)
		_, _ = alive.Read(make([]byte, 1))
	}()
	select {
	case <-done:
		return
	case <-orphan:
	}
	timer := time.NewTimer(relayLinger)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// retrying goes on where a write failed: the reader may come back.
type retrying struct{ to *os.File }

func (w retrying) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n, err := w.to.Write(p[sent:])
		sent += n
		if err != nil {
			<-time.After(relayRetry)
		}
	}
	return len(p), nil
}
