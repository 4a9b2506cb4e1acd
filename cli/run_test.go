package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// starting is a server whose start does what is said.
type starting struct {
	server
	start func(ctx context.Context) error
}

func (s starting) Start(ctx context.Context) error { return s.start(ctx) }

// A signal to stop ends a start that waits for something, such as DNS; one that comes too late for that is not lost.
func TestSignalDuringTheStart(t *testing.T) {
	log, fault := slog.New(slog.DiscardHandler), errors.New("port taken")
	waits := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	works := func(context.Context) error { return nil }
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	for name, c := range map[string]struct {
		start   func(context.Context) error
		signals int
		by      syscall.Signal
		err     error
		left    int // signals, for whoever waits next
	}{
		"waits":                  {waits, 1, syscall.SIGTERM, nil, 0},
		"waits, and two signals": {waits, 2, syscall.SIGTERM, nil, 1},
		"works":                  {works, 0, 0, nil, 0},
		"fails":                  {func(context.Context) error { return fault }, 0, 0, fault, 0},
		"works all the same": {func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}, 1, 0, nil, 1},
	} {
		stop := make(chan os.Signal, 2)
		for range c.signals {
			stop <- syscall.SIGTERM
		}
		by, err := startUntil(ctx, starting{start: c.start}, log, stop)
		if by != c.by || !errors.Is(err, c.err) || len(stop) != c.left {
			t.Errorf("%s: %v, %v, %d signals left", name, by, err, len(stop))
		}
	}
	if ctx.Err() != nil {
		t.Error("no signal ends a start that waits")
	}
}

// What keeps a port from being opened is told with its remedy, whichever port it is.
func TestWhyAPortCannotBeOpened(t *testing.T) {
	for flags, want := range map[string]string{
		"--listen 203.0.113.9:0":                                                                   "bind: cannot assign requested address: this machine has no such address",
		"--listen 127.0.0.1:0 --http 203.0.113.9:0":                                                "--http=203.0.113.9:0: listen tcp 203.0.113.9:0: bind: cannot assign requested address: this machine has no such address",
		"--listen 127.0.0.1:0 --gossip 203.0.113.9:0 --cluster c --gossip-insecure":                "--advertise (gossip)",
		"--listen 127.0.0.1:0 --address-server 203.0.113.9:0":                                      "this machine has no such address",
		"--listen 127.0.0.1:0 --gossip 127.0.0.1:0 --cluster c --join 10.0.0.1:7946|10.0.0.2:7946": "several stand with commas between them",
	} {
		status, _, errs := run(strings.Fields("serve --data " + t.TempDir() + " " + flags)...)
		if status == command.OK || !strings.Contains(errs, want) {
			t.Errorf("%s: status %d, %s, want %q", flags, status, errs, want)
		}
	}
	err := explainListen(fmt.Errorf("start: %w", &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)}))
	if !strings.Contains(err.Error(), "CAP_NET_BIND_SERVICE") {
		t.Error(err)
	}
	if all := listOf("10.0.0.1:1; 10.0.0.2:1,,10.0.0.3:1"); len(all) != 3 || all[1] != "10.0.0.2:1" {
		t.Errorf("%q", all)
	}
}
