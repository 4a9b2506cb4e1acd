package bench

import (
	"fmt"
	"net"
)

// windowNet is a network that is nobody else's: a town, where NameServers and clients are, and two machines of brokers, each with a kernel's
// network of its own and a cable to the town's switch.
type windowNet struct {
	town  *place
	hosts [windowBrokers]*place
}

// openWindowNet makes one; that takes root.
func openWindowNet() (n *windowNet, err error) {
	n = &windowNet{}
	if n.town, err = newPlace(); err != nil {
		return nil, err
	}
	err = n.within(func() error {
		return ip("link set lo up", "link add switch type bridge", "address add "+windowTown+"/24 dev switch", "link set switch up")
	})
	for i := range n.hosts {
		if err == nil {
			err = n.connect(i)
		}
	}
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// connect makes the machine of a broker.
func (n *windowNet) connect(i int) (err error) {
	if n.hosts[i], err = newPlace(); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(windowApart[windowNodes+i])
	if err != nil {
		return err
	}
	err = n.within(func() error {
		return ip("link add "+windowPort(i)+" type veth peer name eth0 netns "+n.hosts[i].id(), "link set "+windowPort(i)+" master switch up")
	})
	if err != nil {
		return err
	}
	return n.at(i)(func() error { return ip("link set lo up", "address add "+host+"/24 dev eth0", "link set eth0 up") })
}

// windowPort is a broker's port at the switch.
func windowPort(i int) string { return fmt.Sprint("port", i) }

// within runs f in the town.
func (n *windowNet) within(f func() error) error { return n.town.among(f) }

// at runs what is given to it on the machine of a broker.
func (n *windowNet) at(i int) func(func() error) error { return n.hosts[i].among }

// cut takes the machine of a broker off the network.
func (n *windowNet) cut(i int) error {
	return n.within(func() error { return ip("link set " + windowPort(i) + " down") })
}

func (n *windowNet) close() {
	for _, p := range append(n.hosts[:], n.town) {
		if p != nil {
			p.leave()
		}
	}
}
