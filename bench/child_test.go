package bench

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// A server that cannot be started again after it was killed is an error, and can be stopped all the same.
func TestRestartThatFails(t *testing.T) {
	ch := &child{target: target{addr: freeAddr()}, dir: t.TempDir()}
	kit.Must(t, ch.start(command{argv: []string{"sleep", "60"}}))
	if err := ch.restart(command{argv: []string{"no-such-server"}}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("started again: %v", err)
	}
	ch.stop()
	if _, err := os.Stat(ch.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is left: %v", err)
	}
}
