package startlines

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
	"golang.org/x/sys/unix"
)

// limit bounds a start and a stop on a busy machine; both take milliseconds on a quiet one.
const limit = time.Minute

// port is where a line serves that says nothing of it.
const port = "127.0.0.1:9876"

// line is one block of testdata/wild.txt; what its fields mean is told there.
type line struct {
	from, in, run, stop, says, finds string
	env                              []string
	conf                             [2]string // file below the installation, and what stands in it
}

func lines(t *testing.T) (all []line) {
	t.Helper()
	text, err := os.ReadFile("testdata/wild.txt")
	kit.Must(t, err)
	for block := range strings.SplitSeq(string(text), "\n\n") {
		l := line{in: "bin", stop: "sh mqshutdown namesrv"}
		for row := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSuffix(row, "\n"), " ")
			switch key {
			case "#":
			case "@":
				l.from = value
			case "in":
				l.in = value
			case "run":
				l.run = value
			case "stop":
				l.stop = value
			case "says":
				l.says = value
			case "finds":
				l.finds = value
			case "env":
				l.env = append(l.env, value)
			case "conf":
				l.conf[0], l.conf[1], _ = strings.Cut(value, " ")
			default:
				t.Fatalf("wild.txt: %q", row)
			}
		}
		if l.run != "" {
			all = append(all, l)
		}
	}
	return all
}

// installation is a RocketMQ home with scripts in the places of the original's, and this program installed there.
func installation(t *testing.T, binary string) (home string) {
	t.Helper()
	home = t.TempDir()
	for _, dir := range []string{"bin", "conf", "ssl"} {
		kit.Must(t, os.Mkdir(filepath.Join(home, dir), 0o755))
	}
	server := kit.NewAuthority(t)
	for name, text := range map[string][]byte{"server.crt": server.PEM, "ca.crt": server.PEM, "server_rsa_private_pkcs8.pem": server.KeyPEM} {
		kit.Must(t, os.WriteFile(filepath.Join(home, "ssl", name), text, 0o600))
	}
	for _, name := range []string{"mqnamesrv", "mqshutdown", "runserver.sh"} {
		text := "#!/bin/sh\necho the original " + name + " was run\nexit 9\n"
		kit.Must(t, os.WriteFile(filepath.Join(home, "bin", name), []byte(text), 0o755))
	}
	if out, err := exec.CommandContext(t.Context(), binary, "install-compat", home).CombinedOutput(); err != nil {
		t.Fatalf("install-compat: %v: %s", err, out)
	}
	return home
}

// alone gives the calling goroutine, and what it starts, a network of its own with nothing but loopback, so that lines
// which name no port do not meet. It skips where that is not allowed and the port is taken.
func alone(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		err = loopbackUp()
	}
	if err == nil {
		return
	}
	if kit.Within(time.Millisecond, func() error { return free(port) }) != nil {
		t.Skipf("SKIPPED, not proven on this machine: no network of its own (%v), and %s is taken", err, port)
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

func free(addr string) error {
	if serves(addr) == nil {
		return fmt.Errorf("%s is taken", addr)
	}
	return nil
}

// serves asks for the cluster, in this thread's network: a dial makes its socket where it is called.
func serves(addr string) error {
	a, err := kit.Ask(addr, kit.Request{Code: 106})
	if err == nil && a.Code != 0 {
		err = fmt.Errorf("answered %v", a)
	}
	return err
}

func TestStartLines(t *testing.T) {
	binary := kit.Binary(t)
	all := lines(t)
	if len(all) < 30 {
		t.Errorf("%d lines, want at least 30", len(all))
	}
	for i, l := range all {
		t.Run(fmt.Sprint(i, " ", strings.Fields(l.from)[0]), func(t *testing.T) {
			alone(t)
			try(t, l, installation(t, binary), t.TempDir())
		})
	}
}

func try(t *testing.T, l line, home, user string) {
	t.Helper()
	places := strings.NewReplacer("{home}", home, "{user}", user, `\n`, "\n")
	dir := places.Replace(l.in)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(home, dir)
	}
	if l.conf[0] != "" {
		file := filepath.Join(home, l.conf[0])
		kit.Must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		kit.Must(t, os.WriteFile(file, []byte(places.Replace(l.conf[1])+"\n"), 0o644))
	}
	shell := func(text string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", places.Replace(text))
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + user, "JAVA_TOOL_OPTIONS=-Duser.home=" + user}
		for _, e := range l.env {
			cmd.Env = append(cmd.Env, places.Replace(e))
		}
		return cmd
	}
	start := shell(l.run)
	var out bytes.Buffer
	screen, err := os.Create(filepath.Join(user, "screen"))
	kit.Must(t, err)
	defer screen.Close()
	start.Stdout, start.Stderr = screen, screen
	kit.Must(t, start.Start())
	defer end(t, home)
	told := func() string {
		text, _ := os.ReadFile(screen.Name())
		return string(text)
	}
	if l.says != "" {
		_ = start.Wait()
		if !strings.Contains(told(), l.says) {
			t.Errorf("%s: says %q, want %q in it", l.run, told(), l.says)
		}
		return
	}
	if err := kit.Within(limit, func() error { return serves(port) }); err != nil {
		t.Fatalf("%s: does not serve: %v; says %s", l.run, err, told())
	}
	log := filepath.Join(user, "logs", "rocketmqlogs", "namesrv.log")
	if err := kit.Within(limit, func() error {
		text, err := os.ReadFile(log)
		if err == nil && !bytes.Contains(text, []byte("INFO main - The Name Server boot success.")) {
			err = errors.New("no boot success in it")
		}
		return err
	}); err != nil {
		t.Errorf("log file: %v", err)
	}
	if strings.Contains(told(), "the original") {
		t.Errorf("an original was run: %s", told())
	}
	pids := processes(t, home)
	if len(pids) != 1 {
		t.Errorf("%d processes show the original's command line and this installation, want 1", len(pids))
	}
	if l.finds != "" {
		found, err := shell(l.finds).Output()
		ids := strings.Fields(string(found))
		if err != nil || len(pids) != 1 || !slices.Contains(ids, strconv.Itoa(pids[0])) {
			t.Errorf("%s: %v, finds %q, want %v among them", l.finds, err, ids, pids)
		}
	}
	stop := shell(l.stop)
	if strings.HasPrefix(l.stop, "sh mqshutdown") {
		stop.Dir = filepath.Join(home, "bin")
	}
	stop.Stdout, stop.Stderr = &out, &out
	if err := stop.Run(); err != nil || !strings.Contains(out.String(), "Send shutdown request to mqnamesrv(") {
		t.Errorf("%s: %v, %s", l.stop, err, out.String())
	}
	if err := kit.Within(limit, func() error {
		if left := processes(t, home); len(left) > 0 {
			return fmt.Errorf("processes %v are left", left)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// processes are those that a watchdog would take for the NameServer of this installation.
func processes(t *testing.T, home string) (pids []int) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	kit.Must(t, err)
	for _, e := range entries {
		text, err := os.ReadFile(e)
		args := strings.ReplaceAll(string(text), "\x00", " ")
		if err != nil || !kit.ContainsAll(args, "java ", "mqnamesrv", "org.apache.rocketmq.namesrv.NamesrvStartup", home) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(e)))
		kit.Must(t, err)
		pids = append(pids, pid)
	}
	return pids
}

// end kills what is left of a line that failed.
func end(t *testing.T, home string) {
	t.Helper()
	for _, pid := range processes(t, home) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
