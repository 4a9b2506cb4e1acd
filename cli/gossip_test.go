package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
)

// The script gossip.txtar has the same below a regular file.
func TestKeygenWithoutPermission(t *testing.T) {
	dir := "/sys" // nobody may make a file there, root neither
	if runtime.GOOS != "linux" {
		dir = t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil { //nolint:gosec // a directory needs x
			t.Fatal(err)
		}
	}
	status, _, errs := run("keygen", filepath.Join(dir, "gossip.key"))
	if status != command.Failed || !strings.Contains(errs, "the directory "+dir+": permission denied; let it exist and be writable") ||
		strings.Contains(errs, ".keygen-") {
		t.Errorf("status %d, %s", status, errs)
	}
}
