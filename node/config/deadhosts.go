package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// DeadHostMode is what a node does about hosts that fall silent.
type DeadHostMode string

// The modes.
const (
	DeadHostsOff     DeadHostMode = "off"     // nothing; it answers others that it does not judge
	DeadHostsObserve DeadHostMode = "observe" // everything but to evict
	DeadHostsOn      DeadHostMode = "on"
)

// DeadHosts says how a node finds out that a broker's host has vanished.
type DeadHosts struct {
	Mode DeadHostMode
	// After is the silence from which on a host may be taken for vanished.
	After time.Duration
	// Nodes is how many NameServer nodes there are, the dead ones counted; 0: as many as are known.
	Nodes int
	// Canary are addresses where nobody may answer a connection.
	Canary []netip.Addr
	// Brake is the share of hosts, silent or gone, from which on nobody is judged.
	Brake float64
	// Restore says that what was taken out is put back when its host is heard again on the same connection.
	Restore bool
}

// DefaultDeadHosts is off. The addresses are those of documentation (RFC 5737, RFC 3849).
func DefaultDeadHosts() DeadHosts {
	return DeadHosts{
		Mode: DeadHostsOff, After: 8 * time.Second, Brake: 0.5, Restore: true,
		Canary: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
	}
}

const (
	leastAfter, mostAfter = 6 * time.Second, time.Minute
	mostNodes             = 4096 // members of a cluster
	mostCanaries          = 16
)

func (d *DeadHosts) validate(gossips bool) (faults []error) {
	fault := func(flag string, value any, remedy string) {
		faults = append(faults, &Fault{Key: flag, Value: fmt.Sprint(value), Remedy: remedy})
	}
	switch d.Mode {
	case DeadHostsOff, DeadHostsObserve, DeadHostsOn:
	default:
		fault("--dead-hosts", d.Mode, "want off, observe or on")
	}
	if d.Mode != DeadHostsOff && !gossips {
		faults = append(faults, errors.New("--gossip is missing, and without it --dead-hosts means nothing: one node alone never takes a host for vanished"))
	}
	if d.After < leastAfter || d.After > mostAfter {
		fault("--dead-host-after", d.After, fmt.Sprintf("want a time from %v to %v, longer than hosts stand still (live migration, snapshots)", leastAfter, mostAfter))
	}
	if d.Nodes < 0 || d.Nodes > mostNodes {
		fault("--dead-host-nodes", d.Nodes, fmt.Sprintf("want how many NameServer nodes there are, at most %d, or 0 for as many as are known", mostNodes))
	}
	if !(d.Brake > 0 && d.Brake <= 1) { // not a number, too
		fault("--dead-host-brake", d.Brake, "want a share above 0 and at most 1, such as 0.5")
	}
	if n := len(d.Canary); n == 0 || n > mostCanaries {
		fault("--dead-host-canary", fmt.Sprint(n, " addresses"), fmt.Sprintf("want 1 to %d", mostCanaries))
	}
	for _, a := range d.Canary {
		if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Zone() != "" {
			fault("--dead-host-canary", a, "want an address of a network, where nobody may answer")
		}
	}
	return faults
}
