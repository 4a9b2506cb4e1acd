package install

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

const insidePackages = "EPITAPH_INSTALL_PACKAGES"

// TestRollOfPackages upgrades three packaged nodes, each in a system of its own, and lets the new version take over by the line that the
// package prints, one node after the other, while released brokers and clients run: none of their messages fails.
func TestRollOfPackages(t *testing.T) {
	needs(t, "debootstrap", "systemd-nspawn", "nsenter", "dpkg-deb", "unshare", "ip")
	debs := os.Getenv(insidePackages)
	if debs == "" {
		fetchPeers(t)
		debian(t)
		deb, _ := packages(t, "99.0.0")
		apart(t, insidePackages+"="+deb+":"+newer(t, deb, "99.0.1-1"))
		return
	}
	first, second, _ := strings.Cut(debs, ":")
	sh(t, `mount --make-rprivate /; ip link set lo up; ip link add br0 type bridge; ip addr add 10.78.0.1/24 dev br0; ip link set br0 up`)
	var nodes []*packaged
	var serve, join, lists []string
	for i := range 3 {
		name, ip := fmt.Sprint("ns", i+1), fmt.Sprint("10.78.0.", 11+i)
		s := boot(t, debian(t), "--machine="+name, "--network-bridge=br0")
		sh(t, `nsenter -t "$1" -n sh -ec 'ip addr add "$0/24" dev host0; ip link set host0 up' "$2"`, strconv.Itoa(s.leader), ip)
		n := &packaged{system: s, name: name, ip: ip, upgrade: s.put(second, "root/second.deb")}
		n.put(first, "root/first.deb")
		nodes = append(nodes, n)
		serve, join, lists = append(serve, ip+":9876"), append(join, ip+":7946"), append(lists, ip+":8080")
	}
	p := &peers{t: t}
	p.broker("four", release4, "10.78.0.1", strings.Join(serve, ";"), nil)
	p.brokers[0].MustBoot(t)

	// From the package to a node that a released broker registers with.
	began := time.Now()
	nodes[0].run("dpkg -i /root/first.deb")
	nodes[0].run("systemctl enable --now epitaph")
	kit.AwaitServes(t, patience, serve[0], "four", p.brokers[0].Addr, true)
	t.Logf("from dpkg -i to a node that a broker has registered with: two commands, %v", time.Since(began).Round(time.Millisecond))

	for i, n := range nodes {
		if i > 0 {
			n.run("dpkg -i /root/first.deb; systemctl enable epitaph 2>&1")
		}
		n.configure(join)
		n.run("systemctl restart epitaph")
	}
	balance(t, "10.78.0.1:8080", func() []string { return lists })
	p.broker("five", release5, "10.78.0.1", "", map[string]string{
		"fetchNamesrvAddrByAddressServer": "true", "rmqAddressServerDomain": "10.78.0.1:8080", "rmqAddressServerSubGroup": "brokers"})
	for i, n := range nodes {
		p.registered(serve[i])
		n.run("until epitaph health; do sleep 1; done")
	}
	p.sends("by a fixed list", java.ClientOptions{Endpoint: strings.Join(serve, ";"), Topic: "known", Group: "known", Every: 50 * time.Millisecond})
	p.sends("by the address server, a new producer and topic each second",
		java.ClientOptions{Endpoint: "domain:10.78.0.1:8080", Topic: "fresh*", Every: time.Second})
	p.row("three nodes", true)

	line := regexp.MustCompile(`(?m)^ +(epitaph safe-to-stop .*)$`)
	var command string
	for _, n := range nodes {
		pid := n.show("MainPID")
		out := n.run("dpkg -i " + n.upgrade)
		m := line.FindStringSubmatch(out)
		if m == nil || n.show("MainPID") != pid {
			t.Fatalf("%s: no line, or the process is not %s any more: %s", n.name, pid, out)
		}
		command = m[1]
	}
	p.row("all are upgraded, and none is restarted", false)
	for _, n := range nodes {
		pid := n.show("MainPID")
		began := time.Now()
		n.run(command)
		if n.show("MainPID") == pid || n.show("NRestarts") != "0" {
			t.Errorf("%s: process %s became %s", n.name, pid, n.show("MainPID"))
		}
		p.row(fmt.Sprintf("%s (%v): %s", n.name, time.Since(began).Round(time.Second), command), false)
	}
	p.received(p.clients[0])
}

// packaged is a system with the package.
type packaged struct {
	*system
	name, ip, upgrade string
}

// configure writes the settings as epitaph.env tells how.
func (n *packaged) configure(join []string) {
	n.t.Helper()
	n.run(fmt.Sprintf(`echo AAECAwQFBgcICQoLDA0ODw== >/etc/epitaph/gossip.key
chown root:epitaph /etc/epitaph/gossip.key; chmod 640 /etc/epitaph/gossip.key
printf '%%s\n' EPITAPH_GOSSIP=0.0.0.0:7946 EPITAPH_ADVERTISE=%s:7946 EPITAPH_JOIN=%s EPITAPH_CLUSTER=orders EPITAPH_NAME=%s \
EPITAPH_GOSSIP_KEY_FILE=/etc/epitaph/gossip.key EPITAPH_ADDRESS_SERVER=0.0.0.0:8080 EPITAPH_DRAIN_ON_STOP=160s >>/etc/epitaph/epitaph.env`,
		n.ip, strings.Join(join, ","), n.name))
}
