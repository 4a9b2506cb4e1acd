package compose

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-mq/epitaph/test/java"
)

const (
	wanted = "EPITAPH_COMPOSE"        // set by make compose-test
	inside = "EPITAPH_COMPOSE_INSIDE" // the binary runs in its own namespaces; holds the directories of the brokers' jars
	noJars = "none"

	release5 = "5.5.0"
	release4 = "4.9.7"
)

// delegate runs the calling test in namespaces of its own: it starts this very binary again there.
func delegate(t *testing.T) {
	t.Helper()
	if why := lacking(); why != "" {
		t.Skip("SKIPPED: ", why)
	}
	// The network of the machine is out of reach inside: what has to be fetched is fetched before.
	var dirs []string
	for _, release := range []string{release5, release4} {
		dir, err := java.Fetch("rocketmq-broker", release)
		if err != nil {
			t.Logf("no jars of the broker %s, its scenarios will be skipped: %v", release, err)
			dirs = []string{noJars}
			break
		}
		dirs = append(dirs, dir)
	}
	jars := strings.Join(dirs, string(os.PathListSeparator))
	args := append([]string{"--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", os.Args[0]}, os.Args[1:]...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), inside+"="+jars)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		t.Fatalf("in its own namespaces: %v", err)
	}
}

func lacking() string {
	if os.Getenv(wanted) == "" {
		return wanted + " is not set (make compose-test sets it)"
	}
	if testing.Short() {
		return "-short"
	}
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		return "needs Linux and root, to make namespaces and run a Docker engine"
	}
	var lack []string
	for _, program := range []string{"unshare", "nsenter", "ip", "iptables", "dockerd", "docker", "docker-compose", "tar", "ldd"} {
		if _, err := exec.LookPath(program); err != nil {
			lack = append(lack, program)
		}
	}
	if len(lack) > 0 {
		return "not installed: " + strings.Join(lack, ", ")
	}
	return ""
}

// lanAddr is an address of the sandbox's host that is not loopback: connections to it pass the engine's packet filter,
// those to loopback its proxy.
const lanAddr = "10.215.0.1"

// settle makes the namespaces habitable.
func settle() error {
	for _, command := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "addr", "add", lanAddr + "/32", "dev", "lo"},
		{"mount", "-t", "tmpfs", "none", "/run"}, // sockets and locks of the machine's own engine, if there is one
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
		}
	}
	return nil
}
