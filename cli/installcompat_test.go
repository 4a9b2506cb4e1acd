package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Installed twice and undone twice, over an upgrade of RocketMQ and over a link to this program: the originals are
// never lost, and what is not RocketMQ's is not touched.
func TestInstallCompat(t *testing.T) {
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	kit.Must(t, os.Mkdir(bin, 0o700))
	original := func(name string) string { return "#!/bin/sh\n# RocketMQ's " + name + "\n" }
	lay := func(name, text string) {
		kit.Must(t, os.WriteFile(filepath.Join(bin, name), []byte(text), 0o750))
	}
	held := func(name string) string {
		text, err := os.ReadFile(filepath.Join(bin, name))
		if err != nil {
			return ""
		}
		return string(text)
	}
	for _, name := range []string{"mqnamesrv", "mqshutdown", "runserver.sh"} {
		lay(name, original(name))
	}
	install := func(dir string, undo ...string) {
		t.Helper()
		if status, out, errs := run(append(append([]string{"install-compat"}, undo...), dir)...); status != 0 {
			t.Fatalf("status %d, %s%s", status, out, errs)
		}
	}
	kept := func(when string) {
		t.Helper()
		for _, name := range []string{"mqnamesrv", "mqshutdown"} {
			if !strings.Contains(held(name), standMark) || held(name+keptEnd) != original(name) {
				t.Errorf("%s: %s is %q, its original %q", when, name, held(name), held(name+keptEnd))
			}
			info, err := os.Stat(filepath.Join(bin, name))
			if err != nil || info.Mode().Perm()&0o111 == 0 {
				t.Errorf("%s: %s: %v, %v", when, name, info, err)
			}
		}
		if held("runserver.sh") != original("runserver.sh") {
			t.Errorf("%s: runserver.sh was changed", when)
		}
	}
	asBefore := func(when string) {
		t.Helper()
		entries, err := os.ReadDir(bin)
		if err != nil || len(entries) != 3 || held("mqnamesrv") != original("mqnamesrv") || held("mqshutdown") != original("mqshutdown") {
			t.Errorf("%s: %v, %v", when, entries, err)
		}
	}
	install(home)
	kept("installed")
	install(bin)
	kept("installed again")
	lay("mqnamesrv", original("mqnamesrv")) // by an upgrade of RocketMQ
	install(home)
	kept("after an upgrade")
	install(home, "--undo")
	asBefore("undone")
	install(home, "--undo")
	asBefore("undone again")

	install(home)
	kit.Must(t, os.Remove(filepath.Join(bin, "mqnamesrv"))) // somebody tried to put the original back
	install(home, "--undo")
	asBefore("undone with a script missing")

	self, err := os.Executable()
	kit.Must(t, err)
	kit.Must(t, os.Remove(filepath.Join(bin, "mqnamesrv")))
	kit.Must(t, os.Symlink(self, filepath.Join(bin, "mqnamesrv")))
	install(home)
	if held("mqnamesrv"+keptEnd) != "" || !strings.Contains(held("mqnamesrv"), standMark) {
		t.Error("a link to this program was kept as the original")
	}
	if status, _, errs := run("install-compat", "--undo", home); status != 1 || !strings.Contains(errs, "there is no mqnamesrv.rocketmq to put back") {
		t.Errorf("undone without an original: %d, %s", status, errs)
	}
	if status, _, errs := run("install-compat", t.TempDir()); status != 1 || !strings.Contains(errs, "want the directory of a RocketMQ installation") {
		t.Errorf("no installation: %d, %s", status, errs)
	}
}

// What mqshutdown stops beside the NameServer, it stops as before; a NameServer that is not there is told as before.
func TestMQShutdownLeavesTheRestToTheOriginal(t *testing.T) {
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	kit.Must(t, os.Mkdir(bin, 0o700))
	kit.Must(t, os.WriteFile(filepath.Join(bin, "mqnamesrv"), nil, 0o700))
	kit.Must(t, os.WriteFile(filepath.Join(bin, "mqshutdown"), []byte("#!/bin/sh\necho original: \"$@\"; exit 7\n"), 0o700))
	if status, _, errs := run("install-compat", home); status != 0 {
		t.Fatal(errs)
	}
	kit.Must(t, os.Symlink("bin/mqshutdown", filepath.Join(home, "stop")))
	for args, want := range map[string]string{
		"bin/mqshutdown broker": "original: broker 7", "stop brokerContainer": "original: brokerContainer 7", "bin/mqshutdown": "original: 7",
		"bin/mqshutdown namesrv": "No mqnamesrv running. 1", "stop namesrv": "No mqnamesrv running. 1",
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "sh "+args+"; echo $?")
		cmd.Dir = home
		out, err := cmd.CombinedOutput()
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", args, got, err, want)
		}
	}
}

// The command line that the process takes is the one by which the original's processes are found.
func TestLooksLikeJava(t *testing.T) {
	var argv, environ []string
	p := &program{environ: []string{"A=b"}, become: func(a, e []string) error { argv, environ = a, e; return os.ErrInvalid }}
	p.lookLikeJava("/opt/mq", []string{"-c", "f"})
	want := "java -Dprogram=mqnamesrv -Drmq.logback.configurationFile=/opt/mq/conf/rmq.namesrv.logback.xml org.apache.rocketmq.namesrv.NamesrvStartup -c f"
	if got := strings.Join(argv, " "); got != want || strings.Join(environ, " ") != "A=b ROCKETMQ_HOME=/opt/mq" {
		t.Errorf("%s, environment %v", got, environ)
	}
	if _, args, ok := asJava(argv); !ok || strings.Join(args, " ") != "-c f" {
		t.Errorf("read again: %v, %v", args, ok)
	}
	for _, other := range [][]string{nil, {"java"}, {"java", "org.Other"}, {"epitaph", startupClass}} {
		if _, _, ok := asJava(other); ok {
			t.Errorf("%v is taken for a NameServer's", other)
		}
	}
}
