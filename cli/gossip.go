package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/cli/screen"
	"github.com/epitaph-mq/epitaph/gossip"
)

const categoryGossip = "Gossip with other nodes (off unless --gossip is given):"

// gossipFlags say with whom a node shares who has left.
func gossipFlags() []urfave.Flag {
	return []urfave.Flag{
		textFlag(categoryGossip, "gossip", "off", "`HOST:PORT` for gossip, UDP and TCP, such as 10.0.0.1:7946"),
		textFlag(categoryGossip, "join", "none", "`HOST:PORT,...` of other nodes; those that do not answer are tried again for ever"),
		textFlag(categoryGossip, "advertise", "the --gossip address", "`HOST:PORT` that the other nodes reach this one at"),
		textFlag(categoryGossip, "cluster", "none: must be given", "`NAME` of the cluster: nodes of another name are not heard"),
		textFlag(categoryGossip, "name", "the host's name and the gossip port", "`NODE`: this node's name, another one at every node"),
		textFlag(categoryGossip, "gossip-key-file", "none", "`FILE` with keys (epitaph keygen FILE makes it); needed unless --gossip is loopback"),
		&urfave.BoolFlag{
			Name: "gossip-key-create", Category: categoryGossip, EnvVars: []string{envOf("gossip-key-create")},
			Usage: "make the key file when there is none, as epitaph keygen does: for nodes that share a volume", DisableDefaultText: true,
		},
		&urfave.BoolFlag{
			Name: "gossip-insecure", Category: categoryGossip, EnvVars: []string{envOf("gossip-insecure")},
			Usage: "gossip beyond loopback without a key: whoever reaches the port can take part", DisableDefaultText: true,
		},
	}
}

// gossipSettings are the values of those flags.
type gossipSettings struct {
	bind, join, advertise, cluster, name, keyFile string
	keyCreate, insecure                           bool
}

func gossipOf(c *urfave.Context) gossipSettings {
	return gossipSettings{
		bind: c.String("gossip"), join: c.String("join"), advertise: c.String("advertise"), cluster: c.String("cluster"),
		name: c.String("name"), keyFile: c.String("gossip-key-file"), keyCreate: c.Bool("gossip-key-create"),
		insecure: c.Bool("gossip-insecure"),
	}
}

// config is nil when the node gossips with nobody. The error joins all mistakes.
func (s gossipSettings) config() (*gossip.Config, error) {
	if s.bind == "" {
		if s == (gossipSettings{}) {
			return nil, nil
		}
		return nil, errors.New("--gossip is missing, and without it the other flags of gossip mean nothing: give --gossip HOST:PORT")
	}
	cfg := gossip.DefaultConfig()
	cfg.Bind, cfg.Advertise, cfg.Cluster, cfg.Name = s.bind, s.advertise, s.cluster, s.name
	cfg.KeyFile, cfg.Insecure = s.keyFile, s.insecure
	for _, seed := range strings.Split(s.join, ",") {
		if seed = strings.TrimSpace(seed); seed != "" {
			cfg.Seeds = append(cfg.Seeds, seed)
		}
	}
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

// gossipOfEnv are the same settings for a program whose command line has no flags for them.
func (p *program) gossipOfEnv() (s gossipSettings, err error) {
	value := func(flag string) string { return p.env(envOf(flag)) }
	s = gossipSettings{
		bind: value("gossip"), join: value("join"), advertise: value("advertise"), cluster: value("cluster"),
		name: value("name"), keyFile: value("gossip-key-file"),
	}
	var errs []error
	for flag, on := range map[string]*bool{"gossip-key-create": &s.keyCreate, "gossip-insecure": &s.insecure} {
		if text := value(flag); text != "" {
			if *on, err = strconv.ParseBool(text); err != nil {
				errs = append(errs, fmt.Errorf("%s=%q: want true or false", envOf(flag), text))
			}
		}
	}
	return s, errors.Join(errs...)
}

// gossipMode is a line of the first screen.
func gossipMode(cfg *gossip.Config) string {
	if cfg == nil {
		return "one node: it gossips with nobody (--gossip, --join; see epitaph serve --help)"
	}
	how := "encrypted"
	if cfg.KeyFile == "" {
		how = "NOT encrypted"
	}
	seeds := "no seeds: others join this node"
	if len(cfg.Seeds) > 0 {
		seeds = "seeds " + strings.Join(cfg.Seeds, ", ")
	}
	return fmt.Sprintf("node %s of cluster %s, gossip on %s, %s; %s", cfg.Name, cfg.Cluster, cfg.Bind, how, seeds)
}

func (p *program) keygenCommand() *urfave.Command {
	return &urfave.Command{
		Name:      "keygen",
		Usage:     "make a key file for gossip",
		UsageText: "epitaph keygen FILE",
		Description: `Makes FILE with one fresh key, readable by its owner only. Copy it to every node of the cluster and start them with
--gossip-key-file FILE. When FILE exists it is checked and left alone, so several nodes that share a volume may all run this
(or start with --gossip-key-create, which does the same).

To change the key without losing a message: add the new key as the last line at every node, then move it to the first line at
every node, then remove the old one at every node. Running nodes read the file again within seconds.`,
		OnUsageError: onUsageError,
		Action: func(c *urfave.Context) error {
			if c.Args().Len() != 1 {
				return usageError(errors.New("keygen takes one FILE; see epitaph keygen --help"))
			}
			path := c.Args().First()
			made, err := gossip.GenerateKeyFile(path)
			if err != nil {
				return err
			}
			words := append([]string{path}, strings.Fields("is there already and good; nothing was changed")...)
			if made {
				words = append([]string{path}, strings.Fields("made. Copy it to every node and start them with --gossip-key-file")...)
				words = append(words, path)
			}
			var text strings.Builder
			screen.Fill(&text, "", 0, words)
			_, err = io.WriteString(p.stdout, text.String())
			return err
		},
	}
}
