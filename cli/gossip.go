package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/cli/screen"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
)

const categoryGossip = "Gossip with other nodes (off unless --gossip is given):"

// gossipFlags say with whom a node shares who has left.
func gossipFlags(s *gossipSettings) []command.Flag {
	*s = noGossip
	flags := []command.Flag{
		{To: &s.bind, Name: "gossip", Default: "off", Usage: "`HOST:PORT` for gossip, UDP and TCP, such as 10.0.0.1:7946"},
		{To: &s.join, Name: "join", Default: "none", Usage: "`HOST:PORT,...` of other nodes; those that do not answer are tried again for ever"},
		{To: &s.advertise, Name: "advertise", Default: "the --gossip address", Usage: "`HOST:PORT` that the other nodes reach this one at"},
		{To: &s.cluster, Name: "cluster", Default: "none: must be given", Usage: "`NAME` of the cluster: nodes of another name are not heard"},
		{To: &s.name, Name: "name", Default: "the host's name and the gossip port", Usage: "`NODE`: this node's name, another one at every node"},
		{To: &s.keyFile, Name: "gossip-key-file", Default: "none",
			Usage: "`FILE` with keys (epitaph keygen FILE makes it); needed unless --gossip is loopback"},
		{To: &s.keyCreate, Name: "gossip-key-create",
			Usage: "make the key file when there is none, as epitaph keygen does: for nodes that share a volume"},
		{To: &s.readyAfter, Name: "ready-after",
			Usage: "`TIME` between two registrations of a broker: so long a node waits that finds none that knows which brokers there are"},
		{To: &s.joinWait, Name: "join-wait",
			Usage: "`TIME` after which a node is ready whatever it lacks: no node of --join was reached, or brokers that others hold do not come"},
		{To: &s.insecure, Name: "gossip-insecure", Usage: "gossip beyond loopback without a key: whoever reaches the port can take part"},
	}
	for i := range flags {
		flags[i].Category = categoryGossip
	}
	return flags
}

// gossipSettings are the values of those flags.
type gossipSettings struct {
	bind, join, advertise, cluster, name, keyFile string
	key                                           string // of the environment alone: everybody on the machine sees flags
	keyCreate, insecure                           bool
	readyAfter, joinWait                          time.Duration
}

// noGossip are the settings when none is given.
var noGossip = gossipSettings{readyAfter: config.DefaultReadyAfter, joinWait: config.DefaultJoinWait}

// into puts the settings into a node's configuration. The error joins all mistakes.
func (s gossipSettings) into(cfg *config.Config) (err error) {
	cfg.ReadyAfter, cfg.JoinWait = s.readyAfter, s.joinWait
	cfg.Gossip, err = s.config()
	return err
}

// asMade are the settings for whoever only looks: a key file that the start would make counts as made.
func (s gossipSettings) asMade() gossipSettings {
	if !s.keyCreate || s.keyFile == "" {
		return s
	}
	s.keyCreate = false
	if _, err := os.Lstat(s.keyFile); errors.Is(err, fs.ErrNotExist) {
		s.keyFile, s.insecure = "", true
	}
	return s
}

// config is nil when the node gossips with nobody. The error joins all mistakes.
func (s gossipSettings) config() (*gossip.Config, error) {
	if s.bind == "" {
		if s == noGossip {
			return nil, nil
		}
		return nil, errors.New("--gossip is missing, and without it the other flags of gossip, and " + gossip.KeyVariable +
			", mean nothing: give --gossip HOST:PORT")
	}
	cfg := gossip.DefaultConfig()
	cfg.Bind, cfg.Advertise, cfg.Cluster, cfg.Name = s.bind, s.advertise, s.cluster, s.name
	cfg.KeyFile, cfg.Key, cfg.Insecure = s.keyFile, s.key, s.insecure
	cfg.Seeds = listOf(s.join)
	if cfg.Name == "" {
		name, err := defaultName(cfg.Bind)
		if err != nil {
			return nil, fmt.Errorf("--name is missing and the host has none: %w", err)
		}
		cfg.Name = name
	}
	err := cfg.Validate()
	if err == nil || !s.keyCreate || s.keyFile == "" { // a start that fails leaves no file behind
		err = errors.Join(err, s.keys())
	}
	return &cfg, err
}

// keys makes the key file where that is wanted, and says what is wrong with it.
func (s gossipSettings) keys() error {
	switch {
	case s.keyFile == "" && s.keyCreate:
		return errors.New("--gossip-key-create needs --gossip-key-file FILE: the file to make")
	case s.keyFile == "":
		return nil
	case s.keyCreate:
		// One that is there is checked and left alone.
		if _, err := gossip.GenerateKeyFile(s.keyFile); err != nil {
			return fmt.Errorf("--gossip-key-create: %w", err)
		}
		return nil
	}
	_, err := gossip.LoadKeys(s.keyFile)
	return err
}

// defaultName tells apart the hosts, and the nodes of one host by their ports.
func defaultName(bind string) (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", err
	}
	if _, port, err := net.SplitHostPort(bind); err == nil && port != "" && port != "0" {
		name += "-" + port
	}
	return name, nil
}

// gossipMode is a line of the first screen.
func gossipMode(cfg *gossip.Config) string {
	if cfg == nil {
		return "one node: it gossips with nobody (--gossip, --join; see epitaph serve --help)"
	}
	how := "encrypted"
	if cfg.KeyFile == "" && cfg.Key == "" {
		how = "NOT encrypted"
	}
	seeds := "no seeds: others join this node"
	if len(cfg.Seeds) > 0 {
		seeds = "seeds " + strings.Join(cfg.Seeds, ", ")
	}
	return fmt.Sprintf("node %s of cluster %s, gossip on %s, %s; %s", cfg.Name, cfg.Cluster, cfg.Bind, how, seeds)
}

func (p *program) keygenCommand() *command.Command {
	v := view{out: p.stdout}
	return &command.Command{
		Name:      "keygen",
		Usage:     "make a key file for gossip",
		UsageText: "epitaph keygen FILE [--json]",
		Description: `Makes FILE with one fresh key, readable by its owner only. Copy it to every node of the cluster and start them with
--gossip-key-file FILE. When FILE exists it is checked and left alone, so several nodes that share a volume may all run this
(or start with --gossip-key-create, which does the same).

To change the key without losing a message: add the new key as the last line at every node, then move it to the first line at
every node, then remove the old one at every node. Running nodes read the file again within seconds.`,
		Argument: "FILE",
		Flags:    []command.Flag{{To: &v.json, Name: "json", Usage: "for programs: JSON"}},
		Run: func(_ context.Context, args []string) error {
			path := args[0]
			made, err := gossip.GenerateKeyFile(path)
			if err != nil {
				return err
			}
			if v.json {
				return v.printAsJSON(map[string]any{"file": path, "made": made})
			}
			words := append([]string{path}, strings.Fields("is there already and good; nothing was changed")...)
			if made {
				words = append([]string{path}, strings.Fields("made. Copy it to every node and start them with --gossip-key-file")...)
				words = append(words, path)
			}
			var text strings.Builder
			screen.Fill(&text, "", 0, 0, words)
			_, err = io.WriteString(p.stdout, text.String())
			return err
		},
	}
}
