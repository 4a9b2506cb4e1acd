package cli

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// What Kubernetes sets beside a Service called epitaph, and one called epitaph-http, takes one line; what somebody mistyped
// a line each; what serve reads none, whatever it looks like.
func TestServiceLinksTakeOneLine(t *testing.T) {
	book := &kit.Log{}
	p := &program{stdout: io.Discard, stderr: book, environ: []string{
		"EPITAPH_SERVICE_HOST=10.0.0.1", "EPITAPH_SERVICE_PORT=9876", "EPITAPH_SERVICE_PORT_REMOTING=9876", "EPITAPH_PORT=tcp://10.0.0.1:9876",
		"EPITAPH_PORT_9876_TCP=tcp://10.0.0.1:9876", "EPITAPH_PORT_9876_TCP_PROTO=tcp", "EPITAPH_PORT_9876_TCP_PORT=9876",
		"EPITAPH_PORT_9876_TCP_ADDR=10.0.0.1", "EPITAPH_HTTP_PORT_9886_TCP=tcp://10.0.0.2:9886", "EPITAPH_HTTP_PORT=tcp://10.0.0.2:9886",
		"EPITAPH_HTTP_SERVICE_HOST=10.0.0.2", "EPITAPH_HTTP=127.0.0.1:9886", "EPITAPH_LISTEN_PORT=9877", "EPITAPH_PROT=1", "OTHER_SERVICE_HOST=x",
	}}
	p.tellStray(slog.New(slog.NewTextHandler(book, nil)), variables(serveFlags(&serveSettings{})), "not known")
	text := book.String()
	if strings.Count(text, "\n") != 3 || strings.Count(text, "level=INFO") != 1 || strings.Count(text, "EPITAPH_") != 13 ||
		!strings.Contains(text, "name=EPITAPH_LISTEN_PORT") || !strings.Contains(text, "name=EPITAPH_PROT") || !strings.Contains(text, "enableServiceLinks") {
		t.Errorf("%s", text)
	}
}

// An address with a zone is refused wherever serve takes one; mqnamesrv listens there, as the original.
func TestZonesAreRefused(t *testing.T) {
	status, _, errs := run("serve", "--listen", "[fe80::1%lo]:0", "--http", "[fe80::1%lo]:0", "--gossip", "[fe80::1%lo]:0", "--cluster", "c",
		"--join", "[fe80::2%lo]:7946", "--advertise", "[fe80::1%lo]:7946", "--data", t.TempDir())
	if status != command.Usage || strings.Count(errs, "an address with a zone") != 5 {
		t.Errorf("%d %s", status, errs)
	}
	if status, _, errs := run("serve", "--set", "bindAddress=fe80::1%lo", "--data", t.TempDir()); status != command.Usage || !strings.Contains(errs, `bindAddress="fe80::1%lo": an address with a zone`) {
		t.Errorf("%d %s", status, errs)
	}
}
