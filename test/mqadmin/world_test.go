package mqadmin

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/inproc"
)

const release = "5.5.0"

// world is one NameServer with its brokers, its relay and what the commands left behind.
type world struct {
	name       string
	nameServer string
	home       string // directory of the NameServer
	relay      *kit.Relay
	broker     *java.Broker
	dir        string
	captured   map[string]string
}

// startOurs runs our NameServer inside the test and returns its address and its directory.
func startOurs(t *testing.T) (addr, dir string) {
	t.Helper()
	// The same files as those of java.NameServer, so that getNamesrvConfig has the same to show.
	dir = t.TempDir()
	n := inproc.StartNode(t, func(c *config.Config) {
		*c = config.Default(config.System{UserHome: dir, Properties: map[string]string{"rocketmq.home.dir": dir}})
		c.Options.BindAddress, c.Options.ListenPort = "127.0.0.1", int32(kit.FreePort(t))
		c.Options.KVConfigPath, c.Options.ConfigStorePath = filepath.Join(dir, "kvConfig.json"), filepath.Join(dir, "namesrv.conf")
	})
	return n.Addr().String(), dir
}

// startJava runs the released NameServer and returns its address and its directory.
func startJava(t *testing.T) (addr, dir string) {
	t.Helper()
	n := java.StartNameServer(t, release, java.NameServerOptions{Properties: map[string]string{"bindAddress": "127.0.0.1"}})
	return n.Addr, n.Dir
}

func startWorld(t *testing.T, name, nameServer, home string) *world {
	t.Helper()
	w := &world{
		name: name, nameServer: nameServer, home: home, relay: kit.StartRelay(t, nameServer), dir: t.TempDir(),
		captured: map[string]string{},
	}
	for file, text := range map[string]string{
		"topics.json": `[{"topicName":"listed1","readQueueNums":1,"writeQueueNums":1,"perm":6},{"topicName":"listed2","readQueueNums":2,"writeQueueNums":2,"perm":6}]`,
		"groups.json": `[{"groupName":"listed-group"}]`,
	} {
		kit.Must(t, os.WriteFile(filepath.Join(w.dir, file), []byte(text), 0o644))
	}
	w.broker = java.LaunchBroker(t, java.BrokerOptions{
		Version: release, NameServers: nameServer, Name: "broker-a",
		// No periodic registration may come between a command in the one world and the same in the other.
		Properties: map[string]string{
			"registerNameServerPeriod":       "60000",
			"authenticationMetadataProvider": "org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider",
			"authorizationMetadataProvider":  "org.apache.rocketmq.auth.authorization.provider.LocalAuthorizationMetadataProvider",
		},
	})
	return w
}

// epoch is the time at which a tool made a static topic.
var epoch = regexp.MustCompile(`"epoch":\d{13}\b`)

// plain puts names in place of what only this world has.
func (w *world) plain(text string) string {
	text = epoch.ReplaceAllString(text, `"epoch":0`)
	return strings.NewReplacer(
		"listenPort="+port(w.nameServer), "listenPort=<port>", "=  "+port(w.nameServer), "=  <port>",
		w.relay.Addr, "<nameserver>", w.nameServer, "<nameserver>", w.broker.Addr, "<broker>",
		kit.Loopback(w.broker.Port+1), "<broker-ha>", w.dir, "<dir>", w.home, "<home>",
	).Replace(text)
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// words are a command's words in this world.
func (w *world) words(c command) []string {
	words := strings.Fields(c.args)
	pairs := []string{"{broker}", w.broker.Addr, "{controller}", "127.0.0.1:1", "{dir}", w.dir, "{nameserver}", w.nameServer}
	for name, value := range w.captured {
		pairs = append(pairs, name, value)
	}
	for i := range words {
		words[i] = strings.NewReplacer(pairs...).Replace(words[i])
	}
	if !strings.HasPrefix(words[0], "!") {
		words = append(words, "-n", w.relay.Addr)
	}
	return words
}

// tables is what the NameServer shows of its tables, in the form that is compared.
func (w *world) tables() (string, error) {
	conn, err := net.DialTimeout("tcp", w.nameServer, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	c := kit.Over(nil, conn)
	requests := []kit.Request{{Code: 106}, {Code: 206}, {Code: 219, Ext: map[string]string{"namespace": "ORDER_TOPIC_CONFIG"}}}
	for _, topic := range append(simulatedTopics(), "alpha", "beta", "ordered", "static", "listed1", "listed2", "%RETRY%group1", "TBW102", "broker-a") {
		requests = append(requests, kit.Request{Code: 105, Ext: map[string]string{"topic": topic}})
	}
	var text strings.Builder
	for _, r := range requests {
		answer, err := c.TryCall(r, 15*time.Second)
		if err != nil {
			return "", fmt.Errorf("code %d of %s: %w", r.Code, w.name, err)
		}
		fmt.Fprintf(&text, "%d %s: %d %s\n", r.Code, extText(r.Ext), answer.Code, canonical(w.plain(string(answer.Body))))
	}
	return text.String(), nil
}

// driver is the JVM that runs the commands.
type driver struct {
	process *kit.Process
	in      io.Writer
	next    int
}

// commandLimit bounds a command that ends by itself.
const commandLimit = time.Minute

func startDriver(t *testing.T) *driver {
	t.Helper()
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skipf("SKIPPED, not proven on this machine: javac is not on the PATH (install a JDK 17, not only a JRE): %v", err)
	}
	lib, home := java.Jars(t, "rocketmq-tools", release), t.TempDir()
	kit.Must(t, java.WriteLogback(home))
	classes := java.Compile(t, filepath.Join("java", "Drive.java"), lib)
	words := append([]string{"-cp", java.ClassPath(lib) + ":" + classes}, java.Flags(home, "384m")...)
	cmd := exec.Command("java", append(words, "-Dfile.encoding=UTF-8", "-Drocketmq.home.dir="+home, "-Djava.io.tmpdir="+home, "Drive")...)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+home)
	in, err := cmd.StdinPipe()
	kit.Must(t, err)
	return &driver{process: kit.Start(t, cmd), in: in}
}

// run runs one command and returns what it printed.
func (d *driver) run(words []string, limit time.Duration) (string, error) {
	if limit == 0 {
		limit = commandLimit
	}
	line := append([]string{strconv.FormatInt(limit.Milliseconds(), 10)}, words...)
	if _, err := fmt.Fprintln(d.in, strings.Join(line, "\t")); err != nil {
		return "", fmt.Errorf("tell the driver: %w", err)
	}
	done := regexp.MustCompile(fmt.Sprintf(`^DONE %d (\S*)$`, d.next))
	d.next++
	m, err := d.process.Line(done, limit+30*time.Second)
	if err != nil {
		return "", err
	}
	printed, err := base64.StdEncoding.DecodeString(m[1])
	return string(printed), err
}
