package install

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// TestUnits starts, reloads and stops the NameServer by units of others, under a systemd that has booted: epitaph in the original's
// place, and 5.5.0 beside it. What systemd says of each stands in testdata/units_fates.txt.
func TestUnits(t *testing.T) {
	needs(t, "debootstrap", "systemd-nspawn", "nsenter")
	java.Require(t)
	archive, err := txtar.ParseFile("testdata/units.txtar")
	kit.Must(t, err)
	if len(archive.Files) < 15 {
		t.Fatalf("only %d units", len(archive.Files))
	}
	ours, original := unitSystem(t), unitSystem(t, "--bind-ro=/usr/lib/jvm", "--bind-ro=/etc/java-17-openjdk", "--bind-ro="+java.Jars(t, "rocketmq-namesrv", "5.5.0")+":/opt/jars")
	ours.install("exit 9", "exit 9", "exit 9")
	ours.run("/usr/local/bin/epitaph install-compat /opt/rocketmq")
	original.originals()
	var text strings.Builder
	for _, f := range archive.Files {
		fmt.Fprintf(&text, "%s\n\t5.5.0:   %s\n\tepitaph: %s\n", f.Name, original.fate(t, f), ours.fate(t, f))
	}
	kit.Golden(t, "testdata/units_fates.txt", text.String())
}

func unitSystem(t *testing.T, more ...string) *system {
	t.Helper()
	s := boot(t, debian(t), more...)
	// 5.5.0 does not start where loopback is all there is.
	sh(t, `nsenter -t "$1" -n sh -ec 'ip link set lo up; ip link add d0 type veth peer name d1; ip addr add 10.79.0.1/24 dev d0; ip link set d0 up; ip link set d1 up'`, strconv.Itoa(s.leader))
	s.run("chmod 755 " + s.put(kit.Binary(t), "usr/local/bin/epitaph"))
	return s
}

// install lays out a RocketMQ home with the scripts of RocketMQ.
func (s *system) install(mqnamesrv, runserver, mqshutdown string) {
	s.t.Helper()
	s.run("mkdir -p /opt/rocketmq/bin /opt/rocketmq/conf; chmod 777 /opt/rocketmq /opt/rocketmq/*")
	for name, text := range map[string]string{"mqnamesrv": mqnamesrv, "runserver.sh": runserver, "mqshutdown": mqshutdown} {
		file := kit.WriteFile(s.t, filepath.Join(s.t.TempDir(), name), []byte("#!/bin/sh\n"+text+"\n"))
		s.run("chmod 755 " + s.put(file, "opt/rocketmq/bin/"+name))
	}
}

// originals do what RocketMQ's scripts do: two shells, of which systemd knows the first one, above Java.
func (s *system) originals() {
	s.t.Helper()
	s.install(`[ -n "$ROCKETMQ_HOME" ] || ROCKETMQ_HOME=$(cd "$(dirname "$0")/.." && pwd)
export ROCKETMQ_HOME
sh ${ROCKETMQ_HOME}/bin/runserver.sh -Drmq.logback.configurationFile=$ROCKETMQ_HOME/conf/rmq.namesrv.logback.xml org.apache.rocketmq.namesrv.NamesrvStartup $@`,
		`/usr/lib/jvm/java-17-openjdk-amd64/bin/java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dtls.server.mode=disabled ${JAVA_OPT} ${JAVA_OPT_EXT} -cp "/opt/jars/*" $@`,
		`pid=$(ps ax | grep org.apache.rocketmq.namesrv.NamesrvStartup | grep java | grep -v grep | awk '{print $1}')
[ -n "$pid" ] || { echo "No mqnamesrv running."; exit 1; }
kill $pid
echo "Send shutdown request to mqnamesrv($pid) OK"`)
}

// fate is what systemd says of a unit on its way.
func (s *system) fate(t *testing.T, f txtar.File) (story string) {
	t.Helper()
	s.t = t
	text := string(f.Data)
	for row := range strings.Lines(text) {
		kind, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(row), "# "), " ")
		switch {
		case !strings.HasPrefix(row, "# "):
		case kind == "user":
			name, home, _ := strings.Cut(value, " ")
			s.run("id " + name + " >/dev/null 2>&1 || useradd " + map[bool]string{true: "-M", false: "-m"}[home == "nohome"] + " " + name)
		case kind == "file":
			path, content, _ := strings.Cut(value, " ")
			file := kit.WriteFile(t, filepath.Join(t.TempDir(), "file"), []byte(strings.ReplaceAll(content, `\n`, "\n")+"\n"))
			s.run("mkdir -p $(dirname " + path + "); chmod 777 $(dirname " + path + ")")
			s.run("chmod 755 " + s.put(file, path[1:]))
		}
	}
	s.put(kit.WriteFile(t, filepath.Join(t.TempDir(), "unit"), f.Data), "etc/systemd/system/ns.service")
	s.run("chmod 644 /etc/systemd/system/ns.service; systemctl daemon-reload; systemctl reset-failed ns 2>/dev/null || true")
	tell := func(format string, args ...any) { story += fmt.Sprintf(format, args...) }
	state := func() string { return s.run("systemctl show -P ActiveState ns") }
	serves := func() error {
		if out, err := s.try("/usr/local/bin/epitaph brokers -n 127.0.0.1:9876"); err != nil {
			return errors.New(out)
		}
		return nil
	}
	start := func() {
		s.run("systemctl start --no-block ns") // a unit that forks would be waited for
		kit.Await(t, patience, f.Name+" serves", func() error {
			if state() == "failed" {
				t.Fatalf("%s: %s", f.Name, s.run("journalctl -u ns -n 50 | cat"))
			}
			return serves()
		})
		tell("%s", state())
	}
	ended := func(what string) {
		kit.Await(t, patience, f.Name+" ends by "+what, func() error {
			if now := state(); now != "inactive" && now != "failed" {
				return errors.New(now)
			}
			return nil
		})
		tell(", %s: %s (%s)", what, state(), s.run("systemctl show -P Result ns"))
		if state() == "failed" {
			t.Logf("%s: %s: %s", f.Name, what, s.run("journalctl -u ns -n 40 -g 'systemd|exited|killed|fail|signal' | cat"))
		}
		if serves() == nil || s.run("ps ax | grep -c '[N]amesrvStartup' || true") != "0" {
			t.Errorf("%s: it lives after %s", f.Name, what)
		}
	}
	start()
	if strings.Contains(text, "ExecReload") && story == "active" {
		_, _ = s.try("systemctl reload ns")
		ended("reload")
		tell("; ")
		start()
	}
	_, _ = s.try("systemctl stop ns")
	ended("stop")
	return story
}
