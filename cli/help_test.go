package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/cli/output"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Every page of help fits 80 columns, and says what it would say unfolded.
func TestHelpFitsTheScreen(t *testing.T) {
	pages := [][]string{}
	for _, c := range (&program{}).app().Commands {
		if !c.Raw {
			pages = append(pages, []string{"epitaph", c.Name})
		}
	}
	if len(pages) < 12 {
		t.Fatalf("only %d commands", len(pages))
	}
	for _, page := range append(pages, []string{"epitaph"}) {
		var out, errs bytes.Buffer
		if status := Main(append(page, "--help"), nil, &out, &errs); status != 0 {
			t.Errorf("%v: status %d", page, status)
		}
		fits(t, out.String())
	}
}

// A server that does not make the other commands reads its command line as the whole program does.
func TestServeAlone(t *testing.T) {
	for _, line := range []string{"--help", "help", "--version", "--listn 127.0.0.1:0", "--name", "--topic T", "routes", "--log-level loud", "--set a --set b", "-- --help"} {
		var said [2]string
		for i, all := range []bool{true, false} {
			p := &program{environ: []string{}}
			var out bytes.Buffer
			p.stdout, p.stderr = &out, &out
			app := p.server
			if all {
				app = p.app
			}
			p.streams = streams{out: output.NewStream(&out), err: output.NewStream(&out)}
			status := app().Main(t.Context(), strings.Fields("epitaph serve "+line), &out, &out)
			p.streams.close()
			said[i] = fmt.Sprintf("status %d\n%s", status, &out)
		}
		if said[0] != said[1] || strings.HasPrefix(said[0], "status 0\n") && len(said[0]) < 20 {
			t.Errorf("serve %s: %s\nand alone: %s", line, said[0], said[1])
		}
	}
}

// So does what a newcomer sees first, whatever addresses and paths are in it; of those no letter is lost.
func TestFirstScreensFit(t *testing.T) {
	_, out, _ := run()
	fits(t, out)
	dir := t.TempDir()
	short := filepath.Join(dir, "k")
	long := filepath.Join(dir, strings.Repeat("d", 90), "gossip.key")
	kit.Must(t, os.Mkdir(filepath.Dir(long), 0o700))
	for _, file := range []string{short, short, long, long} {
		status, out, errs := run("keygen", file)
		if status != command.OK || !strings.Contains(out, file) {
			t.Errorf("%s: status %d, %s%s", file, status, out, errs)
		}
		fits(t, strings.ReplaceAll(out, file, "FILE"))
	}
	for _, addr := range []string{"127.0.0.1:9876", "0.0.0.0:65535", "[::]:65535", "255.255.255.255:65535", "[2001:db8:1020:3040:5060:7080:90a0:b0c0]:65535"} {
		for _, gossiping := range []*gossip.Config{
			nil, {Name: "ns1", Cluster: "orders", Bind: addr},
			{Name: "ns1", Cluster: "orders", Bind: addr, KeyFile: "k", Seeds: []string{addr, addr, addr}},
		} {
			for _, http := range []string{"", addr} {
				cfg := config.Default(config.System{})
				cfg.Gossip, cfg.HTTP = gossiping, http
				cfg.Options.KVConfigPath, cfg.Options.ConfigStorePath = long, long
				var out bytes.Buffer
				(&program{stdout: &out}).serveScreen(cfg, placed{addr: netip.MustParseAddrPort(addr)})
				open := 0 // lines that must say that they are open to others
				if strings.HasPrefix(addr, "0.") || strings.HasPrefix(addr, "[::]") {
					if open = 1; http != "" {
						open = 2
					}
				}
				told := strings.Join(strings.Fields(out.String()), " ")
				if strings.Count(told, addr+" (every address of this host; ") != open {
					t.Errorf("%d lines are to say that all reach %s:\n%s", open, addr, out.String())
				}
				if !strings.Contains(out.String(), "listening   "+addr) || strings.Count(out.String(), long) != 2 {
					t.Errorf("not all is told:\n%s", out.String())
				}
				fits(t, strings.ReplaceAll(out.String(), long, "FILE"))
			}
		}
	}
}

// The screen says what becomes of a change of options, by mqadmin updateNamesrvConfig.
func TestScreenOfOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ns.conf")
	for name, c := range map[string]struct {
		change func(*config.Config)
		fault  error
		want   string
	}{
		"no file":        {func(*config.Config) {}, nil, "written to " + file + "; a start reads it only as --config"},
		"a file":         {func(c *config.Config) { c.File = file }, nil, "written to " + file + " Try next"},
		"another node's": {func(*config.Config) {}, errors.New("DIR belongs to process 1"), "updateNamesrvConfig are refused: DIR belongs to process 1"},
		"read-only":      {func(c *config.Config) { c.ReadOnlyConfig = true }, nil, "refused (--read-only-config)"},
	} {
		cfg := config.Default(config.System{})
		cfg.Options.ConfigStorePath = file
		c.change(&cfg)
		var out bytes.Buffer
		(&program{stdout: &out}).serveScreen(cfg, placed{addr: netip.MustParseAddrPort("127.0.0.1:9876"), options: c.fault})
		if told := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(told, c.want) {
			t.Errorf("%s: want %q in %s", name, c.want, told)
		}
	}
}

// placed is a server with one address for everything.
type placed struct {
	server
	addr    netip.AddrPort
	options error
}

func (p placed) Addr() netip.AddrPort     { return p.addr }
func (p placed) Socket() string           { return "" }
func (p placed) KVFault() error           { return nil }
func (p placed) OptionsFault() error      { return p.options }
func (p placed) HTTPAddr() netip.AddrPort { return p.addr }

// A value that cannot be parsed is told with what would be right, by flag and by variable.
func TestValuesThatCannotBeParsed(t *testing.T) {
	for _, c := range []struct{ args, env, want string }{
		{"serve --drain-on-stop 160", "", `--drain-on-stop="160": want a time with its unit, such as 30s or 5m`},
		{"serve", "EPITAPH_DRAIN_ON_STOP=160", `EPITAPH_DRAIN_ON_STOP="160": want a time with its unit`},
		{"serve --max-connections 1k", "", `--max-connections="1k": want a whole number`},
		{"serve --dead-host-brake half", "", `--dead-host-brake="half": want a number, such as 0.5`},
		{"serve --gossip-insecure=maybe", "", `--gossip-insecure="maybe": want true or false`},
		{"serve", "EPITAPH_READ_ONLY_CONFIG=maybe", `EPITAPH_READ_ONLY_CONFIG="maybe": want true or false`},
		{"drain --wait 160", "", `--wait="160": want a time with its unit`},
		{"doctor -n x --timeout=", "", `--timeout="": want a time with its unit`},
	} {
		if name, value, ok := strings.Cut(c.env, "="); ok {
			t.Setenv(name, value)
		}
		status, _, errs := run(strings.Fields(c.args)...)
		if status != command.Usage || !strings.Contains(errs, c.want) || !strings.Contains(errs, "--help") {
			t.Errorf("%s %s: status %d, %q, want %q", c.env, c.args, status, errs, c.want)
		}
		if name, _, ok := strings.Cut(c.env, "="); ok {
			kit.Must(t, os.Unsetenv(name))
		}
	}
}
