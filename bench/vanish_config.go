package bench

import (
	"fmt"
	"strings"
	"time"
)

// VanishFault is what happens beside hosts that vanish.
type VanishFault string

// The faults.
const (
	VanishAlone VanishFault = ""          // nothing
	NodeDies    VanishFault = "node-dies" // a node is cut off from all others at the moment at which the first of them vanishes
	ZoneDies    VanishFault = "zone"      // of ten hosts four vanish at one moment, and a node with them
)

// Of vanished hosts.
const (
	vanishNodes  = 33 // nodes at the most: more than that on few cores would measure the cores
	vanishAfter  = 8 * time.Second
	vanishSooner = 6 * time.Second
	vanishMost   = 250 // hosts of one setting
)

// VanishSetting is what is to be measured of hosts that vanish.
type VanishSetting struct {
	Nodes  int           `json:"nodes"`
	Loss   float64       `json:"loss"` // of packets among nodes, and between hosts and nodes, each way
	After  time.Duration `json:"after_ns"`
	Fault  VanishFault   `json:"fault,omitempty"`
	Hosts  int           `json:"hosts"`  // that register
	Trials int           `json:"trials"` // of them, those that vanish
	AtOnce int           `json:"at_once"`
	Gap    time.Duration `json:"gap_ns"` // between two, on average; of those beside a node that dies, between the first and the last
	Brake  float64       `json:"brake"`
	Off    bool          `json:"off,omitempty"` // nodes that judge nobody: no host may be gone
}

// Name tells it from the others of a run.
func (s *VanishSetting) Name() string {
	name := fmt.Sprintf("%d nodes, no loss", s.Nodes)
	if s.Loss > 0 {
		name = fmt.Sprintf("%d nodes, %g %% loss", s.Nodes, s.Loss*100)
	}
	if s.After != vanishAfter {
		name += ", after " + strings.TrimSuffix(s.After.String(), "0s")
	}
	if s.Off {
		name += ", `--dead-hosts off`"
	}
	switch s.Fault {
	case NodeDies:
		name += ", a node dies beside"
	case ZoneDies:
		name += fmt.Sprintf(", %d of %d hosts and a node at once", s.Trials, s.Hosts)
	}
	return name
}

// vanishSettings lists what is measured of hosts that vanish.
func (c *ConvergeConfig) vanishSettings() (all []VanishSetting) {
	losses := c.Losses
	if c.Complete {
		losses = []float64{0, 0.1, 0.3}
	}
	for _, n := range c.Nodes {
		if n > vanishNodes {
			continue
		}
		for _, loss := range losses {
			all = append(all, c.vanishSetting(n, loss))
		}
		if !c.Complete {
			continue
		}
		sooner, beside := c.vanishSetting(n, 0), c.vanishSetting(n, 0)
		sooner.After, beside.Fault = vanishSooner, NodeDies
		all = append(all, sooner)
		if n > 2 { // of two both must live
			beside.AtOnce, beside.Gap = (beside.Trials+2)/3, time.Second
			all = append(all, beside)
		}
	}
	if len(all) > 0 {
		off := c.vanishSetting(all[0].Nodes, 0)
		off.Off, off.Trials = true, min(off.Trials, 8)
		all = append(all, off)
	}
	if c.Complete {
		zone := c.vanishSetting(3, 0)
		zone.Fault, zone.Hosts, zone.Trials, zone.AtOnce, zone.Gap, zone.Brake = ZoneDies, 30, 12, 12, 0, 0.5
		all = append(all, zone)
	}
	return all
}

// vanishSetting is one without faults. Every vanished host is asked about by every node, so more nodes see fewer of them, further apart.
func (c *ConvergeConfig) vanishSetting(nodes int, loss float64) VanishSetting {
	trials, gap := min(c.Trials, 32), 500*time.Millisecond
	if nodes > manyNodes {
		trials, gap = min(c.Trials, 12), 2*time.Second
	}
	// The brake would end the run: it lets half of the hosts go within ten minutes, and here they are to go one after the other.
	return VanishSetting{Nodes: nodes, Loss: loss, After: vanishAfter, Hosts: trials + max(4, trials/3), Trials: trials, AtOnce: 1, Gap: gap, Brake: 1}
}
