package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	windowNodes   = 3
	windowBrokers = 2
	windowQueues  = 4
	windowTopics  = "window-"
	windowTopic   = windowTopics + "0000000" // as routeFrame asks for it
	windowStays   = "broker-a"
	windowGoes    = "broker-b"
	windowBoot    = 6 * time.Minute        // until both brokers are listed everywhere; 20 s on a quiet machine
	windowForm    = 3 * time.Minute        // until every client sends and receives; they start over 30 s
	windowLead    = 47 * time.Second       // no multiple of a poll: no client polls at the very moment
	windowEvery   = 200 * time.Millisecond // between two messages of a client
	windowPolling = 500 * time.Millisecond // between two looks of this program
	windowTown    = "10.79.0.1"            // of NameServers and clients, where brokers are on machines of their own
)

// windowApart are the addresses of NameServers and brokers there.
var windowApart = []string{windowTown + ":9876", windowTown + ":9886", windowTown + ":9896", "10.79.0.2:10911", "10.79.0.3:10911"}

// windowCluster is three NameServers and two brokers. On one machine, the broker that goes has its path to the last NameServer over a relay.
type windowCluster struct {
	net     *windowNet // nil: all are on this machine
	addrs   []string   // of the NameServers
	servers []*child
	path    *muteRelay
	brokers [windowBrokers]*child // which stays, which goes
	clients []*child
}

// startWindow starts everything afresh but the clients.
func startWindow(ctx context.Context, s server, what windowPlay, brokerCP string) (w *windowCluster, err error) {
	w = &windowCluster{}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	if s.key == Ours {
		s.cmd.argv = append(slices.Clone(s.cmd.argv), what.flags...)
	}
	if !what.apart {
		// A NameServer takes its port and one for gossip, a broker the ports beside its own.
		return w, w.start(ctx, s, brokerCP, freeBlocks(windowNodes+windowBrokers))
	}
	if w.net, err = openWindowNet(); err != nil {
		return w, err
	}
	return w, w.within(func() error { return w.start(ctx, s, brokerCP, windowApart) })
}

// within runs f where NameServers and clients are: what it starts stays there, and it reaches them.
func (w *windowCluster) within(f func() error) error {
	if w.net == nil {
		return f()
	}
	return w.net.within(f)
}

func (w *windowCluster) start(ctx context.Context, s server, brokerCP string, free []string) (err error) {
	var gossip []string
	for _, addr := range free[:windowNodes] {
		host, port, _ := net.SplitHostPort(addr)
		gossip = append(gossip, net.JoinHostPort(host, nextPort(port)))
	}
	for i := range windowNodes {
		cmd := s.cmd
		if s.key == Ours {
			cmd = gossiping(cmd, i, gossip)
		}
		ns, err := startChildAt(ctx, cmd, free[i])
		if err != nil {
			return err
		}
		w.servers, w.addrs = append(w.servers, ns), append(w.addrs, free[i])
	}
	over := slices.Clone(w.addrs)
	if w.net == nil {
		if w.path, err = startMuteRelay(w.addrs[windowNodes-1]); err != nil {
			return err
		}
		over[windowNodes-1] = w.path.addr()
	}
	for i, list := range [][]string{w.addrs, over} {
		cmd := windowBroker(brokerCP, []string{windowStays, windowGoes}[i], list)
		if w.net != nil {
			cmd.begin = w.net.at(i)
		}
		if w.brokers[i], err = launchChild(cmd, free[windowNodes+i]); err != nil {
			return err
		}
	}
	return w.awaitBrokers(ctx)
}

// gossiping lets node i of ours gossip with the others.
func gossiping(cmd command, i int, all []string) command {
	var others []string
	for j, addr := range all {
		if j != i {
			others = append(others, addr)
		}
	}
	cmd.argv = append(append([]string{}, cmd.argv...), "--gossip", all[i], "--join", strings.Join(others, ","), "--cluster", "window", "--name", fmt.Sprint("n", i+1))
	return cmd
}

// windowBroker is a released broker with one topic, a small store, and without what it does at its leisure.
func windowBroker(classPath, name string, nameServers []string) command {
	topics := fmt.Sprintf(`{"dataVersion":{"timestamp":1,"counter":1},"topicConfigTable":{%q:{"topicName":%[1]q,"readQueueNums":%d,"writeQueueNums":%[2]d,"perm":6,"topicFilterType":"SINGLE_TAG","topicSysFlag":0,"order":false}}}`,
		windowTopic, windowQueues)
	config := []string{
		"brokerClusterName=DefaultCluster", "brokerName=" + name, "brokerId=0", "brokerRole=ASYNC_MASTER",
		"brokerIP1={host}", "brokerIP2={host}", "listenPort={port}", "haListenPort={next}", "namesrvAddr=" + strings.Join(nameServers, ";"),
		"storePathRootDir={dir}/store", "storePathCommitLog={dir}/store/commitlog", "mappedFileSizeCommitLog=16777216", "diskMaxUsedSpaceRatio=98",
		"transactionMetricFlushInterval=500", "timerFlushIntervalMs=10000", "",
	}
	argv := append([]string{"java"}, windowJVM("512m")...)
	argv = append(argv, "-XX:MaxDirectMemorySize=512m",
		"--add-exports", "java.base/jdk.internal.ref=ALL-UNNAMED", "--add-exports", "java.base/sun.nio.ch=ALL-UNNAMED",
		"--add-opens", "java.base/java.nio=ALL-UNNAMED", "-cp", classPath, "org.apache.rocketmq.broker.BrokerStartup", "-c", "{dir}/broker.conf")
	return command{
		argv: argv, env: []string{"ROCKETMQ_HOME={dir}"},
		files: map[string]string{"broker.conf": strings.Join(config, "\n"), "store/config/topics.json": topics},
	}
}

// awaitBrokers waits until every NameServer names both brokers for the topic.
func (w *windowCluster) awaitBrokers(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, windowBoot, fmt.Errorf("the brokers did not register everywhere within %v", windowBoot))
	defer cancel()
	for _, addr := range w.addrs {
		for {
			named, err := routeNames(ctx, addr, windowStays, windowGoes)
			if err != nil {
				return err
			}
			if named {
				break
			}
			for i, b := range w.brokers {
				if b.over() {
					return fmt.Errorf("broker %d ended; the end of its output: %s", i+1, b.output())
				}
			}
			if err := pause(ctx, windowPolling); err != nil {
				return fmt.Errorf("%w; the ends of their output: %s\n%s", err, w.brokers[0].output(), w.brokers[1].output())
			}
		}
	}
	return nil
}

// routeNames tells whether the topic's route at addr names all of the brokers.
func routeNames(ctx context.Context, addr string, brokers ...string) (bool, error) {
	c, err := dialCaller(ctx, addr)
	if err != nil {
		return false, err
	}
	defer c.conn.Close()
	f := routeFrame(windowTopics)
	a, err := c.call(callTimeout, func(out []byte, seq uint32) []byte { return f.ask(out, 0, seq) })
	if err != nil {
		return false, err
	}
	for _, name := range brokers {
		if !bytes.Contains(a.body, []byte(strconv.Quote(name))) {
			return false, nil
		}
	}
	return true, nil
}

// startClients starts the programs and waits until every client sends or receives. It ends no sooner than windowLead after the
// start, so that the polls of clients lie as far before and behind what happens then in every run.
func (w *windowCluster) startClients(ctx context.Context, programs []windowProgram) error {
	began := time.Now()
	for _, p := range programs {
		cmd := command{argv: append(append([]string{}, p.argv...),
			strings.Join(w.addrs, ";"), windowTopic, windowGoes, strconv.FormatInt(windowEvery.Milliseconds(), 10))}
		for _, k := range p.kinds {
			cmd.argv = append(cmd.argv, fmt.Sprintf("%s=%d", k.key, k.count))
		}
		c, err := launchChild(cmd, "")
		if err != nil {
			return err
		}
		w.clients = append(w.clients, c)
	}
	ctx, cancel := context.WithTimeout(ctx, windowForm)
	defer cancel()
	for waiting := "it has said nothing"; waiting != ""; {
		if err := pause(ctx, windowPolling); err != nil {
			return fmt.Errorf("%s: %w", waiting, err)
		}
		waiting = ""
		for i, p := range programs {
			t, err := w.tally(i, time.Now(), 0)
			if err != nil {
				return err
			}
			if missing := t.ready(p.clients()); missing != "" {
				waiting = p.title + ": " + missing
			}
		}
	}
	return pause(ctx, windowLead-time.Since(began))
}

// clients are the names of a program's clients.
func (p windowProgram) clients() (names []string) {
	for _, k := range p.kinds {
		for i := range k.count {
			names = append(names, k.client(i))
		}
	}
	return names
}

// tally adds up what the clients of program i did.
func (w *windowCluster) tally(i int, moment time.Time, watch time.Duration) (*windowTally, error) {
	c := w.clients[i]
	if c.over() {
		return nil, fmt.Errorf("a program with clients ended; the end of its output: %s", c.output())
	}
	f, err := os.Open(filepath.Join(c.dir, "output"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := newWindowTally(moment, watch)
	return t, readWindow(f, t.take)
}

// leave lets the broker stop in order while the last NameServer hears nothing of it.
func (w *windowCluster) leave() error {
	w.path.mute()
	return w.brokers[1].cmd.Process.Signal(syscall.SIGTERM)
}

func (w *windowCluster) kill() error { return w.brokers[1].cmd.Process.Kill() }

// vanish takes the broker's machine off the network. What its kernel then says of the connections nobody hears.
func (w *windowCluster) vanish() error {
	if err := w.net.cut(1); err != nil {
		return err
	}
	return w.kill()
}

// stop ends everything.
func (w *windowCluster) stop() {
	for _, c := range append(append(w.clients, w.brokers[:]...), w.servers...) {
		if c != nil {
			_ = c.cmd.Process.Kill() // nothing of it is needed any longer
			c.stop()
		}
	}
	if w.path != nil {
		w.path.stop()
	}
	if w.net != nil {
		w.net.close()
	}
}

// freeBlocks are n loopback addresses that refuse connections now, as do the two ports below and the one above each: a broker
// listens there, too.
func freeBlocks(n int) (all []string) {
	const below, width = 2, 4
	for port := 23_000 + os.Getpid()%100*10*width; len(all) < n; port += width {
		taken := false
		for p := port; p < port+width; p++ {
			conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)), time.Second)
			if err == nil {
				taken = true
				conn.Close()
			}
		}
		if !taken {
			all = append(all, net.JoinHostPort("127.0.0.1", strconv.Itoa(port+below)))
		}
	}
	return all
}
