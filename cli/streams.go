package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/cli/output"
)

// relayCommand is the hidden command that empties a pipe of ours; see output.GuardStderr.
const relayCommand = "relay-output"

// lastAttempt bounds what is done at the end for lines that nobody has taken yet.
const lastAttempt = time.Second

// streams are stdout and stderr of this run, and its log file.
type streams struct {
	out, err *output.Stream
	guard    *output.Stderr // nil: descriptor 2 is as it was
	file     *output.Queue  // of the log file; nil: there is none
	fault    error          // why it is, where a panic may wait for its reader
}

// detach makes a server independent of whoever reads what it writes: a reader that stands still or is gone costs
// lines, which are counted, and nothing else.
func (s *streams) detach() {
	if s.out == nil { // not a run of the command line
		return
	}
	signal.Ignore(syscall.SIGPIPE)
	var to io.Writer
	if s.err.To() == io.Writer(os.Stderr) && s.guard == nil {
		if s.guard, s.fault = output.GuardStderr([]string{"epitaph", relayCommand}); s.guard != nil {
			to = s.guard
		}
	}
	s.err.Detach(to)
	s.out.Detach(nil)
}

// warn tells what detach could not do.
func (s *streams) warn(log *slog.Logger) {
	if s.fault != nil {
		log.Warn("a crash may hang while nobody reads stderr", "err", s.fault)
	}
}

// close makes the last attempt.
func (s *streams) close() {
	end := time.Now().Add(lastAttempt)
	var both sync.WaitGroup
	for _, one := range []*output.Stream{s.out, s.err} {
		both.Go(func() { one.Close(lastAttempt) })
	}
	if s.file != nil {
		both.Go(func() { s.file.Close(lastAttempt) })
	}
	both.Wait()
	s.guard.Close(time.Until(end))
}

// dropped is how many lines were lost.
func (s *streams) dropped() uint64 {
	if s.out == nil {
		return 0
	}
	dropped := s.out.Dropped() + s.err.Dropped()
	if s.file != nil {
		dropped += s.file.Dropped()
	}
	return dropped
}

// droppedLines makes the line of a log that tells of those that were lost.
func droppedLines(handler func(io.Writer) slog.Handler) func(dropped uint64) []byte {
	return func(dropped uint64) []byte {
		var b bytes.Buffer
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "lines of the log were dropped before this one, for nobody took them in time", 0)
		r.AddAttrs(slog.Uint64("dropped", dropped))
		_ = handler(&b).Handle(context.Background(), r) // a buffer does not fail
		return b.Bytes()
	}
}
