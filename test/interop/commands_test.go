package interop

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// epitaph routes and epitaph brokers ask a NameServer of any kind at its plain port: the released Java one is shown as ours.
func TestCommandsAskAnyNameServer(t *testing.T) {
	if target() == targetJava {
		t.Skip("SKIPPED: both kinds are asked in the run whose target is ours")
	}
	need(t, 1)
	shown := map[string]string{}
	for _, kind := range []string{targetEpitaph, targetJava} {
		ns := startNameServer(t, kind, nil)
		for _, b := range []*kit.Broker{
			kit.NewBroker(t, "broker-a", "192.0.2.1:10911", "orders", "payments"), kit.NewBroker(t, "broker-b", "192.0.2.2:10911", "orders"),
		} {
			b.Register(t, ns.Addr)
		}
		for _, command := range [][]string{{"routes", "-n", ns.Addr, "orders"}, {"routes", "-n", ns.Addr, "nothing"}, {"brokers", "-n", ns.Addr}} {
			out, err := exec.Command(kit.Binary(t), command...).CombinedOutput()
			what := command[0] + " " + command[len(command)-1]
			if failed := err != nil; failed != strings.HasSuffix(what, "nothing") {
				t.Errorf("%s of %s: %v\n%s", what, kind, err, out)
			}
			shown[strings.Join([]string{kind, command[0], strings.Join(command[3:], "")}, " ")] = strings.ReplaceAll(string(out), ns.Addr, "SERVER")
		}
	}
	for _, what := range []string{" routes orders", " routes nothing", " brokers "} {
		ours, theirs := shown[targetEpitaph+what], shown[targetJava+what]
		if ours != theirs || ours == "" {
			t.Errorf("%s: ours is shown as\n%s\nand the Java one as\n%s", what, ours, theirs)
		}
		t.Logf("%s:\n%s", what, theirs)
	}
	for _, want := range []string{"broker-a", "broker-b", "192.0.2.1:10911", "192.0.2.2:10911"} {
		if !strings.Contains(shown[targetJava+" routes orders"], want) || !strings.Contains(shown[targetJava+" brokers "], want) {
			t.Errorf("%s is missing", want)
		}
	}
}
