package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// mqnamesrv writes the original's log file, unless told otherwise, and lives on where it cannot.
func TestOriginalLogFile(t *testing.T) {
	for to, want := range map[string]struct{ file, stderr bool }{
		"": {true, true}, "file": {true, false}, "stderr": {false, true}, "stdout": {false, false}, "nowhere": {false, true},
	} {
		dir := t.TempDir()
		conf := filepath.Join(dir, "ns.conf")
		kit.Must(t, os.WriteFile(conf, []byte("bindAddress=127.0.0.1\nlistenPort=0\nwaitSecondsForService=47 \n"), 0o600))
		environ := []string{"ROCKETMQ_HOME=" + dir, "JAVA_OPT=-Duser.home=" + dir, "EPITAPH_LOG_TO=" + to}
		if to == "nowhere" {
			environ[1], environ[2] = "JAVA_OPT=-Duser.home=/proc/nowhere", ""
		}
		s := start(t, environ, "epitaph", "mqnamesrv", "-c", conf)
		s.stopTo(t, syscall.SIGTERM, 143)
		text, err := os.ReadFile(filepath.Join(dir, "logs", "rocketmqlogs", "namesrv.log"))
		if (err == nil) != want.file {
			t.Errorf("%q: file %q, %v", to, text, err)
		}
		if want.file && !regexp.MustCompile(`(?s)^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d INFO main - rocketmqHome=.*\n20[0-9: -]+ WARN main - .*blanks behind.*\n20[0-9: -]+ INFO main - The Name Server boot success\. serializeType=JSON, address 127\.0\.0\.1:\d+\n.* INFO main - stopping signal=terminated\n`).Match(text) {
			t.Errorf("%q: file %s", to, text)
		}
		if got := strings.Contains(s.log.String(), "blanks behind"); got != want.stderr {
			t.Errorf("%q: stderr %s", to, s.log)
		}
		if got := strings.Contains(s.log.String(), "no log file can be written"); got != (to == "nowhere") {
			t.Errorf("%q: stderr %s", to, s.log)
		}
	}
}

// Fields stand behind the text, with their groups, and what a logger was given once is in each line.
func TestOriginalHandler(t *testing.T) {
	var out strings.Builder
	log := slog.New(newOriginalHandler(&out, slog.LevelInfo)).With("a", 1).WithGroup("g").With("b", "x y")
	log.Debug("no")
	log.Warn("told", "c", 2)
	slog.New(newOriginalHandler(&out, slog.LevelInfo)).Error("alone")
	want := `^20[0-9: -]+ WARN main - told a=1 g\.b="x y" g\.c=2\n20[0-9: -]+ ERROR main - alone\n$`
	if !regexp.MustCompile(want).MatchString(out.String()) {
		t.Errorf("got %s", out.String())
	}
}
