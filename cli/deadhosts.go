package cli

import (
	"net/netip"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/node/config"
)

const categoryDeadHosts = "Hosts that vanish without a word (off unless --dead-hosts is given; needs --gossip):"

// deadHostSettings are the values of the flags about hosts that vanish.
type deadHostSettings struct {
	mode, canary string
	after        time.Duration
	nodes        int
	brake        float64
	restore      bool
}

// deadHostFlags say how a node finds out that a broker's host has vanished.
func deadHostFlags(s *deadHostSettings) []command.Flag {
	usual := config.DefaultDeadHosts()
	s.after, s.brake, s.restore = usual.After, usual.Brake, usual.Restore
	flags := []command.Flag{
		{To: &s.mode, Name: "dead-hosts", Default: "off",
			Usage: "`MODE`: observe tells which brokers would be taken out because their hosts are silent at a majority of all nodes, and changes nothing; on takes them out"},
		{To: &s.after, Name: "dead-host-after",
			Usage: "`TIME` of silence after which a host may be taken for vanished, 6s to 1m: longer than hosts stand still"},
		{To: &s.nodes, Name: "dead-host-nodes", Default: "as many as are known",
			Usage: "`N` NameServer nodes that there are, the dead ones counted: more than half of them must agree"},
		{To: &s.canary, Name: "dead-host-canary", Default: joined(usual.Canary),
			Usage: "`ADDRESS,...` where nobody may answer: if somebody does, something on the way answers for hosts that are gone"},
		{To: &s.brake, Name: "dead-host-brake",
			Usage: "`SHARE` of hosts, silent or gone, from which on nobody is judged"},
		{To: &s.restore, Name: "dead-host-restore",
			Usage: "put a broker back as it was when its host is heard again on the same connection, unless somebody touched it since; as a rule so, =false waits for its next REGISTER"},
	}
	for i := range flags {
		flags[i].Category = categoryDeadHosts
	}
	return flags
}

func joined(addrs []netip.Addr) string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return strings.Join(all, ",")
}

// into puts the settings into a node's configuration.
func (s deadHostSettings) into(cfg *config.Config) error {
	d := &cfg.DeadHosts
	if s.mode != "" {
		d.Mode = config.DeadHostMode(s.mode)
	}
	d.After, d.Nodes, d.Brake, d.Restore = s.after, s.nodes, s.brake, s.restore
	if s.canary == "" {
		return nil
	}
	d.Canary = nil
	for _, one := range listOf(s.canary) {
		a, err := netip.ParseAddr(one)
		if err != nil {
			return &config.Fault{Key: "--dead-host-canary", Value: s.canary, Remedy: "want IP addresses with commas between them"}
		}
		d.Canary = append(d.Canary, a.Unmap())
	}
	return nil
}
