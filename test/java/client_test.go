package java

import (
	"os/exec"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// A client's events are counted, however much it prints: what failed at the beginning of an hour has failed.
func TestNoEventIsForgotten(t *testing.T) {
	c := NewClient(kit.Start(t, exec.Command("sh", "-c", "echo FAIL 0 no route; seq -f 'OK %.0f b' 1 50000; seq -f 'GOT %.0f b' 1 50000")))
	if _, err := c.Wait(kit.Patience); err != nil {
		t.Fatal(err)
	}
	if e := c.Events(); len(e.Sent) != 50_000 || len(e.Received) != 50_000 || len(e.Failed) != 1 || e.Failure != "no route" {
		t.Errorf("%d sent, %d received, %d failed (%s)", len(e.Sent), len(e.Received), len(e.Failed), e.Failure)
	}
}
