package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit/inproc"
)

// The short form of `epitaph bench load`, against a node in this process: every kind of load, no wrong answer.
func TestBenchLoad(t *testing.T) {
	n := inproc.StartNode(t, nil)
	for _, kind := range []string{"route", "miss", "register", "mixed"} {
		var out, errs bytes.Buffer
		status := Main([]string{
			"epitaph", "bench", "load", "--target", n.Addr().String(), "--kind", kind, "--connections", "4", "--depth", "2",
			"--duration", "200ms", "--warmup", "50ms", "--check-every", "1",
		}, "", &out, &errs)
		if status != 0 || !strings.Contains(out.String(), " 0 wrong") {
			t.Errorf("%s: status %d\n%s%s", kind, status, out.String(), errs.String())
		}
	}
}

func TestBenchLoadMistakes(t *testing.T) {
	for args, want := range map[string]string{
		"--target 127.0.0.1:1 --kind nonsense":   `"nonsense" is none of`,
		"--target 127.0.0.1:1 --profile nothing": `"nothing" is none of`,
		"--target 127.0.0.1:1 --connections 9":   "127.0.0.1:1",
	} {
		var out, errs bytes.Buffer
		status := Main(append([]string{"epitaph", "bench", "load"}, strings.Fields(args)...), "", &out, &errs)
		if status == 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: status %d, %q is not in %s", args, status, want, errs.String())
		}
	}
}
