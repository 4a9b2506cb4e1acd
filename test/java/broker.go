package java

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// brokerBootLimit bounds the start of a broker; 10 s on a quiet machine.
const brokerBootLimit = 6 * time.Minute

// BrokerOptions are what a test may choose.
type BrokerOptions struct {
	Version     string            // "5.5.0", "4.9.7", ...
	NameServers string            // host:port, several separated by ";"; "": none
	Name        string            // brokerName
	Cluster     string            // "": DefaultCluster
	ID          int               // brokerId: 0 master, above 0 slave
	Port        int               // 0: from a PortBlock of its own
	Dir         string            // home and stores; "": a temporary directory of the test. The same again = a restart
	Properties  map[string]string // more options of the -c file; they win
	JVM         []string          // more flags of the Java machine; they win
	Env         []string          // more environment, NAME=value
}

// Broker is a running Java broker.
type Broker struct {
	*kit.Process
	Name, Cluster string
	ID            int
	Addr          string // 127.0.0.1:port, as registered
	Port          int
	Dir           string
}

// StartBroker runs a released broker and waits for its boot line. It is killed when t ends.
func StartBroker(t testing.TB, o BrokerOptions) *Broker {
	t.Helper()
	b := LaunchBroker(t, o)
	b.MustBoot(t)
	return b
}

// LaunchBroker is StartBroker without waiting, so that several brokers can start side by side, or for brokers that
// cannot boot alone (the members of a Raft group).
func LaunchBroker(t testing.TB, o BrokerOptions) *Broker {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Port == 0 {
		o.Port = kit.PortBlock(t) + 2
	}
	if o.Cluster == "" {
		o.Cluster = "DefaultCluster"
	}
	b := &Broker{
		Name: o.Name, Cluster: o.Cluster, ID: o.ID, Port: o.Port, Dir: o.Dir,
		Addr: kit.Loopback(o.Port),
	}
	config := filepath.Join(o.Dir, "broker.conf")
	if err := WriteLogback(o.Dir); err != nil {
		t.Fatalf("prepare broker %s: %v", o.Name, err)
	}
	if err := WriteProperties(config, b.properties(o)); err != nil {
		t.Fatalf("prepare broker %s: %v", o.Name, err)
	}
	b.Process = Start(t, Command{
		ClassPath: ClassPath(Jars(t, "rocketmq-broker", o.Version)),
		JVM:       slices.Concat(Flags(o.Dir, "512m"), moduleFlags("512m"), o.JVM),
		Main:      "org.apache.rocketmq.broker.BrokerStartup",
		Args:      []string{"-c", config},
		Env:       append([]string{"ROCKETMQ_HOME=" + o.Dir}, o.Env...),
		Dir:       o.Dir,
	})
	t.Cleanup(func() {
		if t.Failed() {
			b.logOwnLog(t)
		}
	})
	return b
}

// logOwnLog shows the end of what the broker wrote to its log file, which says more than its output.
func (b *Broker) logOwnLog(t testing.TB) {
	files, err := filepath.Glob(filepath.Join(b.Dir, "logs", "rocketmqlogs", "broker.log"))
	if err != nil {
		t.Log(err)
	}
	for _, name := range files {
		if text, err := os.ReadFile(name); err != nil {
			t.Log(err)
		} else {
			t.Logf("end of %s of %s:\n%s", filepath.Base(name), b, kit.Tail(string(text), 6000))
		}
	}
}

// moduleFlags bound the direct memory of brokers and the proxy, and open what they use of a JDK 17's own packages.
func moduleFlags(direct string) []string {
	return []string{
		"-XX:MaxDirectMemorySize=" + direct,
		"--add-exports", "java.base/jdk.internal.ref=ALL-UNNAMED",
		"--add-exports", "java.base/sun.nio.ch=ALL-UNNAMED",
		"--add-opens", "java.base/java.nio=ALL-UNNAMED",
	}
}

// properties is the -c file: small stores, no slow extras, the options of the test last.
func (b *Broker) properties(o BrokerOptions) map[string]string {
	store := filepath.Join(o.Dir, "store")
	segment := "mappedFileSizeCommitLog"
	if strings.HasPrefix(o.Version, "4.") {
		segment = "mapedFileSizeCommitLog"
	}
	role := "ASYNC_MASTER"
	if o.ID > 0 {
		role = "SLAVE"
	}
	props := map[string]string{
		"namesrvAddr":       o.NameServers,
		"brokerClusterName": o.Cluster, "brokerName": o.Name,
		"brokerId": strconv.Itoa(o.ID), "brokerRole": role,
		"brokerIP1": "127.0.0.1", "brokerIP2": "127.0.0.1",
		"listenPort": strconv.Itoa(o.Port), "haListenPort": strconv.Itoa(o.Port + 1),
		"storePathRootDir": store, "storePathCommitLog": filepath.Join(store, "commitlog"),
		segment:                 "16777216",
		"diskMaxUsedSpaceRatio": "98",
		// By its defaults a broker 5.x spins for its first 10 s, and flushes its wheel of timers every second.
		"transactionMetricFlushInterval": "500", "timerFlushIntervalMs": "10000",
	}
	if o.NameServers == "" { // it asks an address server, which it does only where no list is given
		delete(props, "namesrvAddr")
	}
	maps.Copy(props, o.Properties)
	return props
}

var brokerBootLine = regexp.MustCompile(`The broker\[.*\] boot success`)

// MustBoot waits for the boot line.
func (b *Broker) MustBoot(t testing.TB) {
	t.Helper()
	if _, err := b.Line(brokerBootLine, brokerBootLimit); err != nil {
		t.Fatalf("start broker %s: %v", b, err)
	}
}

// String names the broker as a reader of a failure wants it.
func (b *Broker) String() string { return fmt.Sprintf("%s/%s/%d@%s", b.Cluster, b.Name, b.ID, b.Addr) }
