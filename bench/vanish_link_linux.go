package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	nodesAddr  = "10.79.0.1" // of all nodes
	switchAddr = "10.79.0.2" // of the hosts' end of the link
	hostsNet   = "10.79.1.0/24"
	brokerPort = 10911
)

// ownNetwork starts a process in a network of its own, in which it may do what root may.
func ownNetwork() (*syscall.SysProcAttr, error) {
	a := dieWithParent()
	a.Cloneflags = syscall.CLONE_NEWNET
	if uid := os.Geteuid(); uid != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return a, nil
}

// hostLink is a wire between the nodes, which are in this process's network, and the hosts of brokers, which are addresses of another network. A host whose address is
// taken away says nothing any more: its kernel answers neither what comes on its connections nor new ones, nor who asks for its link address.
type hostLink struct {
	*place        // the hosts' network
	locks  string // a folder for iptables
	ports  net.Listener
}

// openLink makes the hosts' network and the wire. This process's own network must be nobody else's.
func openLink() (l *hostLink, err error) {
	l = &hostLink{}
	if l.place, err = newPlace(); err != nil {
		return nil, err
	}
	if l.locks, err = os.MkdirTemp("", "epitaph-vanish-"); err == nil {
		err = errors.Join(
			ip("link set lo up", "link add nodes type veth peer name hosts netns "+l.id(), "address add "+nodesAddr+"/16 dev nodes", "link set nodes up"),
			l.among(func() error {
				return errors.Join(ip("link set lo up", "address add "+switchAddr+"/16 dev hosts", "link set hosts up"),
					os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o600))
			}))
	}
	if err == nil {
		err = l.listen()
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// listen is what brokers do at their ports; who connects is only there.
func (l *hostLink) listen() error {
	err := l.among(func() (err error) {
		l.ports, err = net.Listen("tcp4", net.JoinHostPort("", strconv.Itoa(brokerPort)))
		return err
	})
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.ports.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				c.Close()
			}
		}
	}()
	return nil
}

func (l *hostLink) close() {
	if l.ports != nil {
		l.ports.Close()
	}
	l.leave()
	_ = os.RemoveAll(l.locks) // a leftover below the temporary directory harms nobody
}

func (l *hostLink) addresses(do string, all []netip.Addr) error {
	commands := make([]string, len(all))
	for i, a := range all {
		commands[i] = "address " + do + " " + a.String() + "/32 dev hosts"
	}
	return l.among(func() error { return ip(commands...) })
}

// appear gives hosts their addresses.
func (l *hostLink) appear(all []netip.Addr) error { return l.addresses("replace", all) }

// vanish takes them away.
func (l *hostLink) vanish(all []netip.Addr) error { return l.addresses("del", all) }

// dial connects from a host.
func (l *hostLink) dial(host netip.Addr, addr string) (c net.Conn, err error) {
	err = l.among(func() error {
		d := net.Dialer{Timeout: dialTimeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(host, 0))}
		c, err = d.DialContext(context.Background(), "tcp4", addr)
		return err
	})
	return c, err
}

// lose has a share of what hosts and nodes send each other lost, each way.
func (l *hostLink) lose(share float64) error {
	set := func(match ...string) error {
		all := [][]string{{"-F", "INPUT"}}
		if share > 0 {
			all = append(all, append(append([]string{"-A", "INPUT"}, match...), "-p", "tcp",
				"-m", "statistic", "--mode", "random", "--probability", strconv.FormatFloat(share, 'f', 3, 64), "-j", "DROP"))
		}
		for _, args := range all {
			cmd := exec.Command("iptables", append([]string{"-w"}, args...)...)
			cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+filepath.Join(l.locks, "lock"))
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("loss between hosts and nodes: iptables %s: %w: %s", strings.Join(args, " "), err, out)
			}
		}
		return nil
	}
	return errors.Join(set("-s", hostsNet), l.among(func() error { return set("-d", hostsNet) }))
}
