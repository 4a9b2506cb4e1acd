package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/cli/output"
	"github.com/epitaph-mq/epitaph/node/config"
)

// serving is how one server is run.
type serving struct {
	dir        string                         // its data directory
	tlsOnly    bool                           // it takes no plain text
	asOriginal bool                           // signals do what they do to a Java NameServer
	again      func() (*config.Config, error) // reads the operator's files again; nil: there are none
}

// caught are the signals of a server. What was ignored when the process started stays ignored (nohup; the shell of a
// start script does so with SIGINT), but for SIGTERM, which always ends it.
type caught struct {
	stop, hangup, quit chan os.Signal
	terminal           bool // there was a controlling one at the start
}

func (p *program) catch(s serving) *caught {
	c := &caught{stop: make(chan os.Signal, 2), hangup: make(chan os.Signal, 1), quit: make(chan os.Signal, 1), terminal: hasTerminal()}
	signal.Notify(c.stop, syscall.SIGTERM)
	signal.Notify(c.quit, syscall.SIGQUIT)
	hangup := c.hangup
	if s.asOriginal {
		hangup = c.stop
	}
	for sig, to := range map[syscall.Signal]chan os.Signal{syscall.SIGINT: c.stop, syscall.SIGHUP: hangup} {
		if !signal.Ignored(sig) {
			signal.Notify(to, sig)
		}
	}
	return c
}

func (c *caught) release() {
	for _, one := range []chan os.Signal{c.stop, c.hangup, c.quit} {
		signal.Stop(one)
	}
}

// hasTerminal tells whether the process has a controlling terminal. One that is only out of descriptors has.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
	}
	f.Close()
	return true
}

// underManager tells whether a service manager, or the first process of a container, reads what this process ends with. SYSTEMD_EXEC_PID
// is of systemd 248 and later, and the only sign of a user's manager.
func (p *program) underManager() bool {
	return os.Getppid() == 1 || p.env("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid())
}

// endBy ends the process by a signal, as it ends the shell that is the original's main process for a service manager: systemd calls
// that a stop, and status 143 a failure. It returns where a signal cannot do that: in the first process of a container.
func endBy(sig syscall.Signal) {
	signal.Reset(sig)
	if self, err := os.FindProcess(os.Getpid()); err == nil && self.Signal(sig) == nil {
		<-time.After(lastAttempt)
	}
}

// How long a shell may take between its SIGHUP and the end of the terminal, and how often that is looked at.
const (
	hangupWithin = time.Second
	hangupLook   = 50 * time.Millisecond
)

// terminalClosed waits for what a SIGHUP means: true when there was a controlling terminal and it is gone, or goes
// within hangupWithin.
func (c *caught) terminalClosed() bool {
	if !c.terminal {
		return false
	}
	look := time.NewTicker(hangupLook)
	defer look.Stop()
	for until := time.Now().Add(hangupWithin); hasTerminal(); <-look.C {
		if time.Now().After(until) {
			return false
		}
	}
	return true
}

// serveUntil returns at the first signal to stop, with that signal, or with 0 when ctx ends. SIGHUP stops a server
// whose terminal was closed; else it reads again what can be read again.
func (p *program) serveUntil(ctx context.Context, n server, log *slog.Logger, s serving, c *caught) syscall.Signal {
	var dumping atomic.Bool
	closed, judging := make(chan bool, 1), false
	for {
		select {
		case got := <-c.stop:
			log.Info("stopping", "signal", got.String())
			sig, _ := got.(syscall.Signal)
			return sig
		case <-ctx.Done():
			log.Info("stopping", "err", context.Cause(ctx))
			return 0
		case <-c.hangup:
			if !judging {
				judging = true
				go func() { closed <- c.terminalClosed() }()
			}
		case terminal := <-closed:
			judging = false
			if terminal {
				log.Info("stopping", "signal", syscall.SIGHUP.String(), "reason", "the terminal was closed")
				return syscall.SIGHUP
			}
			p.reload(n, log, s)
		case <-c.quit:
			if dumping.CompareAndSwap(false, true) {
				go func() {
					defer dumping.Store(false)
					p.dumpThreads(s, log)
				}()
			}
		}
	}
}

// reload reads again what may change while the server runs. Files that are wrong change nothing.
func (p *program) reload(n server, log *slog.Logger, s serving) {
	var next *config.Config
	if s.again != nil {
		var err error
		if next, err = s.again(); err != nil {
			log.Error("not reloaded, everything stays as it was", "signal", syscall.SIGHUP.String(), "err", err)
			return
		}
	}
	if n.Reload(next) == nil { // a fault was logged there
		log.Info("reloaded", "signal", syscall.SIGHUP.String(), "log_level", p.level.Level().String())
	}
}

// dumpThreads writes what the runtime knows: into a file of the data directory or, where there is none and in the place
// of the original, to stdout.
func (p *program) dumpThreads(s serving, log *slog.Logger) {
	dump := output.Threads(time.Now(), "epitaph "+version())
	if !s.asOriginal {
		file, err := output.AppendThreads(s.dir, dump)
		if err == nil {
			log.Info("threads written", "signal", syscall.SIGQUIT.String(), "path", file)
			return
		}
		log.Warn("threads could not be written to a file and go to stdout", "path", file, "err", err)
	}
	_, _ = p.stdout.Write(dump) // a queue does not fail
	log.Info("threads written to stdout", "signal", syscall.SIGQUIT.String())
}

// keepCrashes makes the trace of a panic stay in the data directory, and tells of that of the last run.
func keepCrashes(dir string, log *slog.Logger) {
	last, err := output.KeepCrashes(dir)
	if err != nil {
		log.Warn("the trace of a crash would be seen on stderr only, for it cannot be kept in the data directory", "dir", dir, "err", err)
	}
	if last != nil {
		log.Error("the last run crashed", "at", last.At, "first_line", last.First, "trace", last.File)
	}
}
