package bench

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// place is a thread in a network of its own.
type place struct {
	work   chan func()
	thread int
}

func newPlace() (*place, error) {
	p, made := &place{work: make(chan func())}, make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread, and with it the network, ends with this goroutine
		p.thread = unix.Gettid()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- fmt.Errorf("make a network: %w", err)
			return
		}
		made <- nil
		for f := range p.work {
			f()
		}
	}()
	if err := <-made; err != nil {
		return nil, err
	}
	return p, nil
}

// id is by what the program ip finds the network.
func (p *place) id() string { return strconv.Itoa(p.thread) }

// among runs f in the place's network: sockets that it opens and programs that it starts stay there.
func (p *place) among(f func() error) error {
	done := make(chan error)
	p.work <- func() { done <- f() }
	return <-done
}

// leave ends the place. Programs that were started there and still run are killed.
func (p *place) leave() { close(p.work) }

// ip runs commands of the program of that name in the network of the calling thread.
func ip(commands ...string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(commands, "; "), err, out)
	}
	return nil
}
