package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/vanished"
	"github.com/epitaph-mq/epitaph/routes"
	"github.com/epitaph-mq/epitaph/vanish"
)

// VanishReport is what was measured of hosts that vanish.
type VanishReport struct {
	When     time.Time       `json:"when"`
	Machine  Machine         `json:"machine"`
	Load     string          `json:"load_average,omitempty"`
	Seed     uint64          `json:"seed"`
	Settings []*VanishResult `json:"settings"`
}

// VanishResult is what was measured of one setting. Times run from just before the host's address was taken away, in milliseconds, one for each host that
// was gone everywhere.
type VanishResult struct {
	VanishSetting
	LimitS   float64           `json:"limit_s"` // a host that took longer is not gone
	Vanished int               `json:"vanished"`
	Gone     int               `json:"gone"`    // of them, at every node
	Wire     Times             `json:"wire"`    // until a route query at every node no longer named the broker
	Decided  Times             `json:"decided"` // until the last node had taken it out, by its own word
	Wrong    int               `json:"living_taken_out"`
	Messages float64           `json:"messages_per_host"` // QUERY, VIEW and ALIVE that all nodes sent while hosts vanished
	Gaps     uint64            `json:"gaps"`              // times that a node was not running for half a second
	Kept     map[string]uint64 `json:"kept,omitempty"`    // why nodes kept a silent host at first
}

// vanishPlan is what a process of its own is told to measure.
type vanishPlan struct {
	Seed     uint64
	Settings []VanishSetting
}

// vanishAnswer is what it says.
type vanishAnswer struct {
	Report *VanishReport
	Error  string
}

// privateVariable makes this program measure hosts that vanish, in the network that it was started in.
const privateVariable = "EPITAPH_BENCH_VANISH"

const noNetwork = "no network for hosts that vanish"

// Private does what this process was started for by another of this program, if it was, and says so, with the status to end with. Call it first in main.
func Private() (was bool, status int) {
	text, was := os.LookupEnv(privateVariable)
	if !was {
		return false, 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var a vanishAnswer
	var plan vanishPlan
	err := json.Unmarshal([]byte(text), &plan)
	if err == nil {
		a.Report, err = measureVanish(ctx, plan, NewProgress(os.Stderr))
	}
	if err != nil {
		a.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		status = 1
	}
	return true, status
}

// inPrivate runs this program again in a network of its own, where addresses can be taken away from hosts.
func inPrivate(ctx context.Context, what string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, fmt.Errorf("%s: the program ip (iproute2) is needed: %w", noNetwork, err)
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Args = os.Args[:1] // programs are told apart by their names
	cmd.Env = append(os.Environ(), privateVariable+"="+what)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.SysProcAttr, err = ownNetwork()
	return cmd, err
}

// runVanish measures in a process of its own.
func runVanish(ctx context.Context, c *ConvergeConfig, p *Progress) (*VanishReport, error) {
	plan, err := json.Marshal(vanishPlan{c.Seed, c.vanishSettings()})
	if err != nil {
		return nil, err
	}
	cmd, err := inPrivate(ctx, string(plan))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if p != nil {
		cmd.Stderr = p.w
	}
	failed := cmd.Run()
	var a vanishAnswer
	switch err := json.Unmarshal(out.Bytes(), &a); {
	case err != nil && failed != nil:
		return nil, fmt.Errorf("%s (run it as root, or where users may make network namespaces): %w", noNetwork, failed)
	case err != nil:
		return nil, fmt.Errorf("measure hosts that vanish: %w", err)
	case a.Error != "":
		return a.Report, errors.New(a.Error)
	}
	return a.Report, nil
}

// measureVanish measures in this process, whose network is its own.
func measureVanish(ctx context.Context, plan vanishPlan, p *Progress) (*VanishReport, error) {
	defer p.Done()
	r := &VanishReport{When: time.Now().UTC(), Machine: thisMachine(), Load: loadAverage(), Seed: plan.Seed}
	link, err := openLink()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", noNetwork, err)
	}
	defer link.close()
	for i := range plan.Settings {
		s := &plan.Settings[i]
		p.Step("%s: %d of %d hosts vanish", s.Name(), s.Trials, s.Hosts)
		v := &vanishing{VanishResult: &VanishResult{VanishSetting: *s, LimitS: (s.After + vanishLimit).Seconds()}, link: link, progress: p, seed: plan.Seed + uint64(i)}
		err := v.run(ctx)
		if ctx.Err() != nil {
			return r, nil // what was measured until then is all there is to say
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", s.Name(), err)
		}
		r.Settings = append(r.Settings, v.VanishResult)
		p.Step("  %d of %d gone everywhere; p50 %.2f s, p99 %.2f s, max %.2f s", v.Gone, v.Vanished, v.Wire.P50/1e3, v.Wire.P99/1e3, v.Wire.Max/1e3)
	}
	return r, nil
}

const (
	vanishLimit  = 12 * time.Second // beyond the silence that is asked for
	vanishReady  = 2 * time.Minute  // until every host may be judged at every node
	vanishLook   = 250 * time.Millisecond
	vanishSettle = 3 * time.Second // until the loss shows in what was heard last
)

// errVanished says that the control run did what it must not.
var errVanished = errors.New("a host that vanished was gone at nodes that judge nobody: the measurement is wrong, something else removed the broker")

// hostAddr is the address of the i-th host.
func hostAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 79, 1, byte(i + 1)}) }

// vanishing is one running setting.
type vanishing struct {
	*VanishResult
	link     *hostLink
	field    *field
	progress *Progress
	seed     uint64
	brokers  []*broker
	pools    []callers
	waiting  errgroup.Group // for hosts that have vanished

	mu     sync.Mutex              // guards the following fields, and the result
	trials map[string]*vanishTrial // by address
}

// vanishTrial is one host that vanished.
type vanishTrial struct {
	began   time.Time
	soon    []chan struct{} // by node
	decided []time.Time     // by node
}

func (v *vanishing) run(ctx context.Context) (err error) {
	v.trials, v.pools = map[string]*vanishTrial{}, make([]callers, v.Nodes)
	v.field, err = startFieldWith(ctx, v.Nodes, v.Hosts, true, v.seed, v.configure, nil)
	if err != nil {
		return err
	}
	defer v.field.stop()
	defer func() {
		for i := range v.pools {
			v.pools[i].close()
		}
		closeBrokers(v.brokers)
	}()
	if err := v.register(); err != nil {
		return err
	}
	if v.Off {
		err = pause(ctx, settleBrokers)
	} else {
		err = v.awaitJudges(ctx)
	}
	if err != nil {
		return err
	}
	if v.Loss > 0 {
		v.field.net.Hinder(v.Loss, 0)
		if err := v.link.lose(v.Loss); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, v.link.lose(0)) }()
		if err := pause(ctx, vanishSettle); err != nil {
			return ctx.Err()
		}
	}
	err = errors.Join(v.vanishAll(ctx), v.waiting.Wait())
	if v.Off && v.Gone > 0 {
		err = errors.Join(err, errVanished)
	}
	v.Wire.sum()
	v.Decided.sum()
	v.count()
	return err
}

// configure makes a node judge, and tell what it takes out.
func (v *vanishing) configure(node int, c *config.Config) {
	c.Options.BindAddress = nodesAddr
	c.DeadHosts.Mode, c.DeadHosts.After, c.DeadHosts.Brake = config.DeadHostsOn, v.After, v.Brake
	if v.Off {
		c.DeadHosts.Mode = config.DeadHostsOff
	}
	c.OnEvent = func(e *routes.Event) {
		if e.Kind != routes.BrokerVanished {
			return
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		t := v.trials[e.Addr]
		if t == nil {
			v.Wrong++
			return
		}
		t.decided[node] = time.Now()
		select {
		case t.soon[node] <- struct{}{}:
		default:
		}
	}
}

// register has every host register at every node, over a connection from its own address.
func (v *vanishing) register() error {
	addrs := make([]netip.Addr, v.Hosts)
	for i := range addrs {
		addrs[i] = hostAddr(i)
	}
	if err := v.link.appear(addrs); err != nil {
		return err
	}
	for i, a := range addrs {
		own := netip.AddrPortFrom(a, brokerPort)
		b := &broker{address: address{broker: brokerName(i), index: i, addr: own.String(), ha: netip.AddrPortFrom(a, brokerPort+1).String()}, conns: make([]*caller, v.Nodes)}
		v.brokers = append(v.brokers, b)
		for n := range v.field.nodes {
			conn, err := v.link.dial(a, v.field.nodes[n].addr)
			if err != nil {
				return err
			}
			b.conns[n] = &caller{addr: v.field.nodes[n].addr, conn: conn, in: make([]byte, 4096)}
			if err := b.conns[n].register(b.address, v.field.profile.newRegisterBody(i, 0).bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitJudges waits until every node may judge every host that has not vanished: but for its silence, that is.
func (v *vanishing) awaitJudges(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, vanishReady)
	defer cancel()
	for n := 0; n < v.Nodes; {
		why := v.unjudged(n)
		if why == "" {
			n++
			continue
		}
		if pause(ctx, vanishLook) != nil {
			return fmt.Errorf("node %d does not judge all hosts after %v: %s", n+1, vanishReady, why)
		}
	}
	return nil
}

// unjudged says why a node would not judge one of the hosts that live; empty: there is none.
func (v *vanishing) unjudged(node int) string {
	s := v.field.nodes[node].node.Vanished()
	judged := 0
	for i := range s.Hosts {
		for _, c := range s.Hosts[i].Claims {
			v.mu.Lock()
			_, gone := v.trials[c.Addr]
			v.mu.Unlock()
			switch {
			case gone:
			case c.Why != vanish.HeardOfLate:
				return c.Addr + " " + c.Why.Name()
			default:
				judged++
			}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if want := v.Hosts - len(v.trials); judged < want {
		return fmt.Sprintf("%d of %d hosts are known", judged, want)
	}
	return ""
}

// vanishAll lets the hosts vanish, one after the other or some at once.
func (v *vanishing) vanishAll(ctx context.Context) error {
	rng, sent := rand.New(rand.NewPCG(v.seed, 3)), v.sent()
	for next := 0; next < v.Trials; {
		batch := v.brokers[next:min(next+v.AtOnce, v.Trials)]
		next += len(batch)
		var err error
		if v.Fault == VanishAlone {
			if err = pause(ctx, time.Duration(rng.Int64N(int64(2*v.Gap)))); err == nil {
				err = v.vanish(ctx, batch, -1)
			}
		} else if err = v.vanishBeside(ctx, batch, rng); err == nil && next < v.Trials {
			if err = v.field.awaitMembers(ctx); err == nil {
				err = v.awaitJudges(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
	err := v.waiting.Wait()
	v.Messages = float64(v.sent()-sent) / float64(max(v.Vanished, 1))
	return err
}

// vanishBeside lets hosts vanish while a node dies, and the node come back when they are gone.
func (v *vanishing) vanishBeside(ctx context.Context, batch []*broker, rng *rand.Rand) (err error) {
	dead := rng.IntN(v.Nodes)
	v.field.net.Partition(map[string]int{v.field.nodes[dead].transport.Addr(): 1})
	defer v.field.net.Partition(nil)
	if v.Fault == ZoneDies {
		err = v.vanish(ctx, batch, dead)
		return errors.Join(err, v.waiting.Wait())
	}
	for _, b := range batch {
		if err = v.vanish(ctx, []*broker{b}, dead); err == nil {
			err = pause(ctx, time.Duration(rng.Int64N(int64(2*v.Gap)/int64(len(batch)))))
		}
		if err != nil {
			break
		}
	}
	return errors.Join(err, v.waiting.Wait())
}

// vanish takes the addresses of brokers away. It does not wait until they are gone at every node but dead, which is none where it is negative.
func (v *vanishing) vanish(ctx context.Context, brokers []*broker, dead int) error {
	ctx, cancel := context.WithTimeout(ctx, v.After+vanishLimit)
	var listed sync.WaitGroup
	group, asking := errgroup.WithContext(ctx)
	trials, watchers, addrs := make([]*vanishTrial, len(brokers)), make([][]*watcher, len(brokers)), make([]netip.Addr, len(brokers))
	for i, b := range brokers {
		t := &vanishTrial{soon: make([]chan struct{}, v.Nodes), decided: make([]time.Time, v.Nodes)}
		trials[i], addrs[i] = t, hostAddr(b.index)
		for n := range v.field.nodes {
			t.soon[n] = make(chan struct{}, 1)
			if n == dead {
				continue
			}
			w := &watcher{
				node: n, addr: v.field.nodes[n].addr, pool: &v.pools[n], every: vanishLook, from: vanishLook, soon: t.soon[n],
				names: []address{b.address}, topic: []uint32{uint32(b.index)},
			}
			watchers[i] = append(watchers[i], w)
			listed.Add(1)
			once := sync.OnceFunc(listed.Done)
			group.Go(func() error {
				defer once()
				return w.run(asking, once)
			})
		}
	}
	listed.Wait()
	if asking.Err() != nil {
		cancel()
		return errors.Join(group.Wait(), ctx.Err())
	}
	v.mu.Lock()
	began := time.Now()
	for i, b := range brokers {
		trials[i].began = began
		v.trials[b.addr] = trials[i]
	}
	v.mu.Unlock()
	if err := v.link.vanish(addrs); err != nil {
		cancel()
		return errors.Join(err, group.Wait())
	}
	v.waiting.Go(func() error {
		defer cancel()
		err := group.Wait()
		if err == nil && !errors.Is(ctx.Err(), context.Canceled) {
			for i := range brokers {
				v.note(trials[i], watchers[i])
			}
		}
		return err
	})
	return nil
}

// note takes down one host.
func (v *vanishing) note(t *vanishTrial, all []*watcher) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.Vanished++
	var last, decided time.Time
	for _, w := range all {
		at, ok := w.last()
		if !ok {
			return
		}
		if at.After(last) {
			last = at
		}
		if d := t.decided[w.node]; d.After(decided) {
			decided = d
		}
	}
	v.Gone++
	v.Wire.add(last.Sub(t.began))
	v.Decided.add(decided.Sub(t.began))
	v.progress.Live("%s: %d vanished, %d gone everywhere, newest after %s", v.Name(), v.Vanished, v.Gone, v.Wire.newest())
}

// each calls f with what every node knows.
func (v *vanishing) each(f func(*vanished.Status)) {
	for i := range v.field.nodes {
		s := v.field.nodes[i].node.Vanished()
		f(&s)
	}
}

func (v *vanishing) sent() (n uint64) {
	v.each(func(s *vanished.Status) {
		for _, sent := range s.Counts.Sent {
			n += sent
		}
	})
	return n
}

// count adds up what the nodes say of themselves.
func (v *vanishing) count() {
	v.Kept = map[string]uint64{}
	v.each(func(s *vanished.Status) {
		v.Gaps += s.Gaps
		for why, n := range s.Counts.Kept {
			v.Kept[why.Name()] += n
		}
	})
}
