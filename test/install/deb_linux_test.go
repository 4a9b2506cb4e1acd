package install

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Equal sources make equal files.
func TestDistTwice(t *testing.T) {
	needs(t)
	sh(t, `diff "$1/SHA256SUMS" "$2/SHA256SUMS"`, dist(t, "99.0.0"), dist(t, "99.0.0"))
}

// TestDeb tells the story of a package in order, on a system that systemd has booted.
func TestDeb(t *testing.T) {
	needs(t, "debootstrap", "systemd-nspawn", "nsenter", "dpkg-deb", "lintian")
	deb, _ := packages(t, "99.0.0")
	t.Run("lintian", func(t *testing.T) {
		if out := sh(t, `lintian --fail-on none --tag-display-limit 0 "$1"`, deb); strings.Contains(out, "E: ") || strings.Contains(out, "W: ") {
			t.Errorf("lintian:\n%s", out)
		}
	})
	s := boot(t, debian(t))
	first, second := s.put(deb, "root/first.deb"), s.put(newer(t, deb, "99.0.1-1"), "root/second.deb")
	step := func(name string, f func(t *testing.T)) {
		if !t.Run(name, func(t *testing.T) { s.t = t; f(t) }) {
			t.FailNow()
		}
	}
	step("Install", func(t *testing.T) { s.testInstall(t, first) })
	step("Watchdog", s.testWatchdog)
	step("DropIns", s.testDropIns)
	step("Upgrade", func(t *testing.T) { s.testUpgrade(t, second) })
	step("Refused", func(t *testing.T) { s.testRefused(t, first) })
	step("Remove", func(t *testing.T) { s.testRemove(t, first) })
	step("Purge", s.testPurge)
	step("PurgeBesideANode", func(t *testing.T) { s.testPurgeBesideANode(t, first) })
}

func (s *system) expect(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

// From the package to a node that serves it takes two commands; the first starts nothing.
func (s *system) testInstall(t *testing.T, deb string) {
	began := time.Now()
	s.expect(t, s.run("dpkg -i "+deb), "not started", "systemctl enable --now epitaph")
	if got, _ := s.try("systemctl is-active epitaph"); !strings.Contains(got, "inactive") {
		t.Errorf("it is %s after the installation", got)
	}
	s.run("systemctl enable --now epitaph") // returns with READY=1
	s.expect(t, s.run("epitaph health -n 127.0.0.1:9876"), "ready")
	took := time.Since(began)
	t.Logf("from dpkg -i to a node that answers: two commands, %v", took.Round(time.Millisecond))
	if took > time.Minute {
		t.Errorf("it took %v", took)
	}
	s.expect(t, s.show("StatusText"), "ready")
	s.expect(t, s.run("epitaph health; epitaph brokers --json >/dev/null; ls -ln /var/lib/epitaph; man -w epitaph 2>/dev/null || ls /usr/share/man/man1/epitaph-serve.1.gz"), "ready", "data")
	s.expect(t, s.run("systemctl reload epitaph; journalctl -u epitaph | cat"), "serves")
	for path, want := range map[string]string{
		"/var/lib/epitaph": "root 755", "/var/lib/epitaph/data": "epitaph 750", "/etc/epitaph/epitaph.env": "root 640", "/run/epitaph/epitaph.sock": "epitaph 600",
	} {
		if got := s.run("stat -c '%U %a' " + path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// A node that answers nobody any more is ended and started again; one that answers never.
func (s *system) testWatchdog(t *testing.T) {
	s.run(`mkdir -p /run/systemd/system/epitaph.service.d; printf '[Service]\nWatchdogSec=4\n' >/run/systemd/system/epitaph.service.d/w.conf
systemctl daemon-reload; systemctl restart epitaph`)
	fed := s.show("WatchdogTimestampMonotonic")
	for range 3 {
		kit.Await(t, patience, "the watchdog is fed", func() error {
			if s.show("WatchdogTimestampMonotonic") == fed {
				return fmt.Errorf("since %s not", fed)
			}
			return nil
		})
		fed = s.show("WatchdogTimestampMonotonic")
	}
	if n := s.show("NRestarts"); n != "0" {
		t.Errorf("it was restarted %s times", n)
	}
	pid := s.show("MainPID")
	s.run("kill -STOP " + pid)
	kit.Await(t, patience, "it is started again", func() error {
		if s.show("NRestarts") != "1" || s.show("ActiveState") != "active" {
			return fmt.Errorf("it is %s", s.show("ActiveState"))
		}
		return nil
	})
	s.run(`rm -r /run/systemd/system/epitaph.service.d; systemctl daemon-reload; systemctl restart epitaph`)
}

// A drop-in may give it a port below 1024; and a drain that takes longer than the unit's time-out is not cut short.
func (s *system) testDropIns(t *testing.T) {
	s.run(`mkdir -p /run/systemd/system/epitaph.service.d; printf '%s\n' '[Service]' AmbientCapabilities=CAP_NET_BIND_SERVICE \
CapabilityBoundingSet=CAP_NET_BIND_SERVICE PrivateUsers=no TimeoutStopSec=2 \
'Environment=EPITAPH_LISTEN=127.0.0.1:876 EPITAPH_DRAIN_ON_STOP=20s EPITAPH_DRAIN_QUIET=8s' >/run/systemd/system/epitaph.service.d/d.conf
systemctl daemon-reload; systemctl restart epitaph; epitaph health --live --listen 127.0.0.1:876`)
	began := time.Now()
	s.run("systemctl stop epitaph")
	if took, result := time.Since(began), s.show("Result"); took < 8*time.Second || result != "success" {
		t.Errorf("a drain of 8 s ends after %v: %s", took, result)
	}
	s.run(`rm -r /run/systemd/system/epitaph.service.d; systemctl daemon-reload; systemctl start epitaph`)
}

// The node that runs is not touched by a new version.
func (s *system) testUpgrade(t *testing.T, deb string) {
	pid := s.show("MainPID")
	s.run(`printf '\n# mine\nEPITAPH_LOG_LEVEL="debug"\n' >>/etc/epitaph/epitaph.env`)
	s.expect(t, s.run("dpkg -i "+deb), "is upgraded", "systemctl restart epitaph")
	if now := s.show("MainPID"); now != pid {
		t.Errorf("process %s became %s", pid, now)
	}
	s.expect(t, s.run("cat /etc/epitaph/epitaph.env; epitaph health"), "# mine", "ready")
	s.expect(t, s.run("stat -c '%U' /var/lib/epitaph/previous/epitaph; /var/lib/epitaph/previous/epitaph --version"), "root", "v99.0.0")
	s.run("systemctl restart epitaph && until epitaph health; do sleep 1; done")
	if now := s.show("MainPID"); now == pid {
		t.Error("the new version did not take over")
	}
}

// A version that refuses the settings is installed all the same; the reason and the way back are told, the node serves on, and
// the next start says the reason, too.
func (s *system) testRefused(t *testing.T, deb string) {
	pid := s.show("MainPID")
	s.run(`cp -p /etc/epitaph/epitaph.env /root/right; printf 'EPITAPH_LISTEN = "nowhere"\n' >>/etc/epitaph/epitaph.env`)
	s.expect(t, s.run("dpkg -i "+deb), "REFUSES", `--listen="nowhere"`, "install -m 755 /var/lib/epitaph/previous/epitaph /usr/bin/epitaph")
	if now := s.show("MainPID"); now != pid {
		t.Errorf("process %s became %s", pid, now)
	}
	if out, err := s.try("systemctl restart epitaph"); err == nil {
		t.Errorf("it starts: %s", out)
	}
	s.expect(t, s.run("journalctl -u epitaph | cat"), "nowhere")
	s.run("install -m 755 /var/lib/epitaph/previous/epitaph /usr/bin/epitaph; cp -p /root/right /etc/epitaph/epitaph.env")
	kit.Await(t, patience, "it serves again by itself", func() error {
		_, err := s.try("epitaph health")
		return err
	})
}

func (s *system) testRemove(t *testing.T, deb string) {
	pid := s.show("MainPID")
	s.run("dpkg -r epitaph")
	if out, err := s.try("kill -0 " + pid); err == nil {
		t.Errorf("the node runs on: %s", out)
	}
	s.run("test -e /etc/epitaph/epitaph.env; test -d /var/lib/epitaph/data; test ! -e /usr/bin/epitaph; test ! -e /var/lib/epitaph/previous")
	s.expect(t, s.run("dpkg -i "+deb), "systemctl enable --now epitaph")
	s.run("systemctl enable --now epitaph; epitaph health")
}

// Purging a node that runs ends it and takes its data.
func (s *system) testPurge(t *testing.T) {
	pid := s.show("MainPID")
	s.run("dpkg -P epitaph")
	if out, err := s.try("kill -0 " + pid); err == nil {
		t.Errorf("the node runs on: %s", out)
	}
	s.run("test ! -e /etc/epitaph; test ! -e /var/lib/epitaph; test ! -e /usr/lib/systemd/system/epitaph.service; ! systemctl is-enabled epitaph")
}

// A node that somebody started by hand on the package's data ends with the package; one of another program keeps its data.
func (s *system) testPurgeBesideANode(t *testing.T, deb string) {
	s.run("dpkg -i " + deb)
	s.run(`runuser -u epitaph -- /usr/bin/epitaph serve --data /var/lib/epitaph/data --listen 127.0.0.1:19876 >/dev/null 2>&1 &
until /usr/bin/epitaph health -n 127.0.0.1:19876 2>/dev/null; do sleep 0.2; done`)
	s.run("dpkg -P epitaph; test ! -e /var/lib/epitaph")
	s.run("dpkg -i " + deb + "; cp /usr/bin/epitaph /root/other")
	s.run(`/root/other serve --data /var/lib/epitaph/data --listen 127.0.0.1:19876 >/dev/null 2>&1 &
until /usr/bin/epitaph health -n 127.0.0.1:19876 2>/dev/null; do sleep 0.2; done`)
	s.expect(t, s.run("dpkg -P epitaph; test -d /var/lib/epitaph/data"), "its data is left", "which serves at 127.0.0.1:19876")
}

// TestRPM installs, upgrades and erases in a root without systemd.
func TestRPM(t *testing.T) {
	needs(t, "debootstrap", "rpm")
	_, rpm := packages(t, "99.0.0")
	_, next := packages(t, "99.0.1")
	root := debian(t)
	// The root is Debian's: it has what the package asks for, but not as packages that rpm knows.
	do := func(args string) string {
		return sh(t, `rpm --root "$1" `+args, root)
	}
	out := do("--nodeps -iv " + rpm)
	for _, part := range []string{"not started", "systemctl enable --now epitaph"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in %s", part, out)
		}
	}
	inside := func(script string) string { return sh(t, `chroot "$1" sh -ec "$2"`, root, script) }
	inside("id epitaph; test -x /usr/bin/epitaph; test -f /usr/lib/systemd/system/epitaph.service; epitaph --version | grep -q v99.0.0")
	if files := do("-qc epitaph"); !strings.Contains(files, "/etc/epitaph/epitaph.env") {
		t.Errorf("files of settings: %s", files)
	}
	kit.Must(t, os.WriteFile(filepath.Join(root, "etc/epitaph/epitaph.env"), []byte("EPITAPH_LOG_LEVEL=loud\n"), 0o640))
	if out := do("--nodeps -Uv " + next); !strings.Contains(out, "REFUSES") || !strings.Contains(out, "loud") {
		t.Errorf("upgrade: %s", out)
	}
	inside("epitaph --version | grep -q v99.0.1; /var/lib/epitaph/previous/epitaph --version | grep -q v99.0.0; grep -q loud /etc/epitaph/epitaph.env")
	do("-e epitaph")
	inside("test ! -e /usr/bin/epitaph; test ! -e /var/lib/epitaph/previous; test -d /var/lib/epitaph/data; test -f /etc/epitaph/epitaph.env.rpmsave")
}
