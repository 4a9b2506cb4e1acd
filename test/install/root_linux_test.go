package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

const (
	wanted   = "EPITAPH_INSTALL"
	patience = 5 * time.Minute
	suite    = "bookworm"
)

// needs skips where the night is not on, or programs are missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv(wanted) == "" {
		t.Skip("SKIPPED: it builds packages and boots a system: make night-install")
	}
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, not proven on this machine: needs root")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED, not proven on this machine: %v", err)
		}
	}
}

// dist makes what is published of a version, for this machine alone.
func dist(t *testing.T, version string) (out string) {
	t.Helper()
	out = t.TempDir()
	cmd := exec.CommandContext(t.Context(), "make", "-C", kit.Root(t), "dist", "VERSION=v"+version)
	cmd.Env = append(os.Environ(), "OUT="+out, "TARGETS=linux/"+arch(t), "MAKEFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make dist: %v\n%s", err, kit.Tail(string(text), 4000))
	}
	sh(t, `cd "$1" && sha256sum --quiet -c SHA256SUMS && grep -q '"bomFormat": "CycloneDX"' *.cdx.json && grep -q memberlist *.cdx.json`, out)
	return out
}

func packages(t *testing.T, version string) (deb, rpm string) {
	t.Helper()
	out := dist(t, version)
	one := func(pattern string) string {
		found, err := filepath.Glob(filepath.Join(out, pattern))
		kit.Must(t, err)
		if len(found) != 1 {
			t.Fatalf("%s: %q", pattern, found)
		}
		return found[0]
	}
	return one("epitaph_" + version + "-1_*.deb"), one("epitaph-" + version + "-1.*.rpm")
}

func arch(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(sh(t, `go env GOARCH`))
}

// newer is the same package with another version.
func newer(t *testing.T, deb, version string) string {
	t.Helper()
	dir := t.TempDir()
	made := filepath.Join(dir, "epitaph_"+version+".deb")
	sh(t, `dpkg-deb -R "$1" "$2/x"; sed -i "s/^Version: .*/Version: $3/" "$2/x/DEBIAN/control"; dpkg-deb -Zgzip -z1 -b "$2/x" "$4"`, deb, dir, version, made)
	return made
}

// debian is a fresh minimal Debian with systemd; the first one of a machine is fetched and kept.
func debian(t *testing.T) string {
	t.Helper()
	cache, err := kit.Cache()
	kit.Must(t, err)
	kept := filepath.Join(cache, "debian-"+suite+"-ps-"+arch(t)+".tar") // "ps": former ones had none
	root := filepath.Join(t.TempDir(), "root")
	if _, err := os.Stat(kept); err != nil {
		sh(t, `mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps "$1" "$2" "$mirror" && rm -rf "$2"/var/cache/apt/*.bin "$2"/var/cache/apt/archives/*.deb
tar -C "$2" -cf "$3.new" . && mv "$3.new" "$3"`, suite, root, kept)
		return root
	}
	sh(t, `mkdir "$1" && tar -C "$1" -xpf "$2"`, root, kept)
	return root
}

// system is a container that systemd has booted.
type system struct {
	t      *testing.T
	root   string
	leader int
}

func boot(t *testing.T, root string, more ...string) *system {
	t.Helper()
	args := []string{"--boot", "--directory=" + root, "--private-network", "--register=no", "--keep-unit", "--settings=no", "--console=pipe"}
	cmd := exec.Command("systemd-nspawn", append(args, more...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	kit.Must(t, cmd.Start())
	s := &system{t: t, root: root}
	t.Cleanup(func() {
		if s.leader > 0 {
			_ = syscall.Kill(s.leader, syscall.SIGKILL) // all that runs in it ends with its first process
		} else {
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
	})
	kit.Await(t, patience, "systemd runs", func() error {
		out, err := exec.Command("ps", "-o", "pid=", "--ppid", strconv.Itoa(cmd.Process.Pid)).Output()
		if err != nil {
			return err
		}
		if s.leader, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
			return err
		}
		state, err := s.try("systemctl is-system-running")
		if state = strings.TrimSpace(state); state != "running" && state != "degraded" {
			return fmt.Errorf("it is %q: %w", state, err)
		}
		return nil
	})
	s.run("ip link set lo up 2>/dev/null || true")
	return s
}

// try runs a script in the container.
func (s *system) try(script string) (string, error) {
	cmd := exec.Command("nsenter", "-t", strconv.Itoa(s.leader), "-m", "-p", "-u", "-i", "-n", "-C", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-ec", script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *system) run(script string) string {
	s.t.Helper()
	out, err := s.try(script)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", script, err, kit.Tail(out, 4000))
	}
	return strings.TrimSpace(out)
}

// show is a property of the unit.
func (s *system) show(property string) string {
	s.t.Helper()
	return s.run("systemctl show -P " + property + " epitaph")
}

func (s *system) put(file, inside string) string {
	s.t.Helper()
	sh(s.t, `cp "$1" "$2"`, file, filepath.Join(s.root, inside))
	return "/" + inside
}
