package cli

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Every command and flag that was once there is there, with its type and its variable.
func TestNoFlagIsTakenAway(t *testing.T) {
	lines := kit.Flags((&program{}).app())
	for _, m := range regexp.MustCompile(`(?m)^ (-\w,--\w+(?: <arg>)?)`).FindAllStringSubmatch(mqUsage, -1) {
		lines = append(lines, "mqnamesrv "+m[1])
	}
	for _, name := range variables(mqFlags(&serveSettings{})) {
		lines = append(lines, "mqnamesrv "+name)
	}
	kit.Listed(t, "testdata/listed/flags.txt", lines)
}

// What a command line ends with, it ends with.
func TestNoExitStatusChanges(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer busy.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	closed.Close()
	dir := t.TempDir()
	names := strings.NewReplacer(dir, "DIR", busy.Addr().String(), "TAKEN", closed.Addr().String(), "NOBODY")
	nobody := "--http-addr=" + closed.Addr().String()
	var lines []string
	for _, args := range [][]string{
		{}, {"--help"}, {"--version"}, {"nosuch"}, {"--nosuch"}, {"serve", "--help"}, {"serve", "extra"}, {"serve", "--nosuch"},
		{"serve", "--set=listenPort=x", "--data=" + dir}, {"serve", "--listen=" + busy.Addr().String(), "--data=" + dir},
		{"serve", "--config=" + filepath.Join(dir, "none")}, {"cluster", "extra"}, {"keygen"}, {"keygen", filepath.Join(dir, "key")},
		{"keygen", filepath.Join(dir, "no", "dir", "key")}, {"licenses"},
		{"members", nobody}, {"members", nobody, "extra"}, {"tombstones", nobody}, {"tombstones", "--limit=0"}, {"vanished", nobody}, {"vanished", "--why=a", "--test=a"}, {"brokers", nobody},
		{"routes"}, {"routes", nobody, "T"}, {"conflicts", nobody}, {"addresses", nobody}, {"top", nobody}, {"force-leave"}, {"force-leave", nobody, "m"},
		{"diff", nobody}, {"diff", "-n", closed.Addr().String()}, {"diff", "-n", "noport"},
		{"status", nobody}, {"status", "-n", closed.Addr().String()}, {"watch-route", "-n", closed.Addr().String()}, {"watch-route", "-n", "noport", "T"},
		{"doctor", nobody}, {"doctor", "-n", closed.Addr().String()}, {"doctor", "--fail-on=much"}, {"health", nobody}, {"bench"},
		{"mqnamesrv", "-h"}, {"mqnamesrv", "-x"}, {"mqnamesrv"}, {"mqnamesrv", "-c", filepath.Join(dir, "none")}, {"mqnamesrv", "-p"},
	} {
		status, _, _ := run(args...)
		lines = append(lines, fmt.Sprintf("epitaph %s: %d", names.Replace(strings.Join(args, " ")), status))
	}
	kit.Listed(t, "testdata/listed/exit_statuses.txt", append(lines, statusesOfSignals(t, dir)...))
}

// statusesOfSignals are those of servers that a signal ends.
func statusesOfSignals(t *testing.T, dir string) (lines []string) {
	conf := filepath.Join(dir, "ns.conf")
	kit.Must(t, os.WriteFile(conf, []byte("bindAddress=127.0.0.1\nlistenPort=0\nkvConfigPath="+filepath.Join(dir, "kv.json")), 0o600))
	for server, args := range map[string][]string{
		"serve": {"--listen", "127.0.0.1:0", "--data", dir}, "mqnamesrv": {"-c", conf},
	} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
			if server == "serve" && sig == syscall.SIGHUP {
				continue // depends on the terminal
			}
			s := start(t, []string{"ROCKETMQ_HOME=" + dir, "JAVA_OPT=-Duser.home=" + dir}, append([]string{"epitaph", server}, args...)...)
			kit.Must(t, syscall.Kill(os.Getpid(), sig))
			lines = append(lines, fmt.Sprintf("epitaph %s, ended by signal %d: %d", server, sig, s.ended(t)))
		}
	}
	return lines
}
