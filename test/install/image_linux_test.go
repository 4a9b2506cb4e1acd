package install

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// TestImageInThePlaceOfRocketMQs starts the root of the image epitaph:rocketmq, without an engine, as others start that of RocketMQ.
func TestImageInThePlaceOfRocketMQs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, not proven on this machine: needs root")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skipf("SKIPPED, not proven on this machine: %v", err)
	}
	program, err := elf.Open(busybox)
	kit.Must(t, err)
	defer program.Close()
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Skip("SKIPPED, not proven on this machine: its busybox is no static one (busybox-static)")
	}
	root := filepath.Join(t.TempDir(), "root")
	layout := t.TempDir()
	sh(t, `cp "$1"/deploy/rocketmq/* "$1/cli/stand/mqnamesrv.sh" "$2"; sh "$2/root.sh" "$3" "$4" "$5"; chmod 755 "$3"; mkdir -p "$3/dev" "$3/proc"; mknod -m 666 "$3/dev/null" c 1 3`,
		kit.Root(t), layout, root, busybox, kit.Binary(t))
	image := imageConfig(t)
	lines := kit.ContainerStarts(t)
	if len(lines) < 20 {
		t.Fatalf("only %d lines", len(lines))
	}
	for i, l := range lines {
		t.Run(fmt.Sprint(i, " ", strings.Fields(l.From)[0]), func(t *testing.T) { tryStart(t, l, root, image) })
	}
}

// imageConfig are ENV, ENTRYPOINT and CMD of the stage rocketmq.
func imageConfig(t *testing.T) (c kit.ContainerStart) {
	t.Helper()
	_, stage, _ := strings.Cut(read(t, "Dockerfile"), "FROM scratch AS rocketmq\n")
	stage, _, _ = strings.Cut(stage, "\nFROM ")
	list := func(text string) []string {
		return strings.Fields(strings.NewReplacer("[", " ", "]", " ", `"`, " ", ",", " ").Replace(text))
	}
	for row := range strings.Lines(stage) {
		key, value, _ := strings.Cut(strings.TrimSpace(row), " ")
		switch key {
		case "ENV":
			c.Env = strings.Fields(value)
		case "ENTRYPOINT":
			c.Entrypoint = list(value)
		case "CMD":
			c.Args = list(value)
		case "USER":
			c.User = value
		case "WORKDIR":
			c.Dir = value
		}
	}
	if len(c.Env) < 3 || len(c.Entrypoint) != 1 || len(c.Args) != 1 || c.User != "3000:3000" || c.Dir != "/home/rocketmq/rocketmq/bin" {
		t.Fatalf("the image is configured so: %+v", c)
	}
	return c
}

func tryStart(t *testing.T, l kit.ContainerStart, root string, image kit.ContainerStart) {
	// A network of its own, with nothing but loopback, for the thread of this goroutine and all that it starts.
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Skipf("SKIPPED, not proven on this machine: no namespaces: %v", err)
	}
	kit.Must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	kit.Must(t, exec.Command("ip", "link", "set", "lo", "up").Run())
	kit.Must(t, unix.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""))
	dir := t.TempDir()
	inside := func(path string) string { // links lead below root
		out, err := exec.Command("chroot", root, "/bin/sh", "-c", `mkdir -p "${1%/*}" && cd "${1%/*}" && echo "$(pwd -P)/${1##*/}"`, "sh", path).Output()
		kit.Must(t, err)
		return filepath.Join(root, strings.TrimSpace(string(out)))
	}
	for i, f := range l.Files {
		source, target := filepath.Join(dir, fmt.Sprint("file", i)), inside(f[0])
		kit.Must(t, os.WriteFile(source, []byte(f[1]), 0o444))
		if made, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444); err == nil { // as an engine does
			made.Close()
			defer func() {
				_ = unix.Unmount(target, unix.MNT_DETACH)
				os.Remove(target)
			}()
		}
		kit.Must(t, unix.Mount(source, target, "", unix.MS_BIND, ""))
		kit.Must(t, unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	}
	logs := filepath.Join(dir, "logs")
	kit.Must(t, os.MkdirAll(logs, 0o777))
	kit.Must(t, os.Chmod(logs, 0o777))
	kit.Must(t, os.Chmod(dir, 0o755))
	if l.Logs != "" {
		kit.Must(t, os.MkdirAll(filepath.Join(root, l.Logs), 0o777))
		kit.Must(t, unix.Mount(logs, filepath.Join(root, l.Logs), "", unix.MS_BIND, ""))
	}
	entrypoint, args := image.Entrypoint, l.Args
	switch {
	case l.Entrypoint != nil:
		entrypoint = l.Entrypoint
	case l.Args == nil:
		args = image.Args
	}
	in := append([]string{"--userspec=" + cmp.Or(l.User, image.User), root, "/bin/env", "-i"}, append(append([]string{}, image.Env...), l.Env...)...)
	in = append(in, "/bin/sh", "-c", `cd "$0" && exec "$@"`, cmp.Or(l.Dir, image.Dir))
	health := func() error {
		out, err := exec.Command("chroot", append(slices.Clone(in), "/bin/sh", "-c", l.Health)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if l.Health != "" && !strings.Contains(l.Health, "ps ") && health() == nil { // other processes of the machine are seen
		t.Errorf("health is fine before it serves: %s", l.Health)
	}
	cmd := exec.Command("chroot", append(append(in, entrypoint...), args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // what it leaves in the background has its output
	var out kit.Log
	cmd.Stdout, cmd.Stderr = &out, &out
	kit.Must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }()
	if l.Says != "" {
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(out.String(), l.Says) {
				t.Errorf("%v, and %q is not in: %s", err, l.Says, out.String())
			}
		case <-time.After(patience):
			t.Errorf("it does not end: %s", out.String())
		}
		return
	}
	addr := "127.0.0.1:" + l.Port
	if err := kit.Within(time.Minute, func() error { return clusterOf(addr) }); err != nil {
		t.Fatalf("it does not serve: %v\n%s", err, out.String())
	}
	probeByTCP(t, addr, &out)
	if l.Health != "" {
		if err := health(); err != nil {
			t.Errorf("health: %s: %v", l.Health, err)
		}
	}
	if l.Logs != "" {
		text, err := os.ReadFile(filepath.Join(logs, "rocketmqlogs", "namesrv.log"))
		if err != nil || !bytes.Contains(text, []byte("The Name Server boot success.")) {
			t.Errorf("the mounted log: %v", err)
		}
	}
	kit.Must(t, cmd.Process.Signal(syscall.SIGTERM)) // the process that was started is the NameServer
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Errorf("SIGTERM does not end it: %s", out.String())
	}
}

// probeByTCP connects as a kubelet's tcpSocket probe does: that is no client, and worth no line.
func probeByTCP(t *testing.T, addr string, out *kit.Log) {
	t.Helper()
	kit.Await(t, time.Minute, "the last lines of the start are written", func() error {
		if text := out.String(); !strings.Contains(text, "msg=gossip ") || !strings.Contains(text, "boot success") {
			return errors.New(text)
		}
		return nil
	})
	before := strings.Count(out.String(), "\n")
	for range 10 {
		c, err := net.Dial("tcp", addr)
		kit.Must(t, err)
		c.Close()
	}
	kit.Must(t, clusterOf(addr))
	if after := strings.Count(out.String(), "\n"); after != before {
		t.Errorf("probes leave lines: %s", out.String())
	}
}

// clusterOf asks for the cluster, in this thread's network: a dial makes its socket where it is called.
func clusterOf(addr string) error {
	a, err := kit.Ask(addr, kit.Request{Code: 106})
	if err == nil && a.Code != 0 {
		err = fmt.Errorf("answered %v", a)
	}
	return err
}
