package compose

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// rootfs is a directory that becomes an image.
type rootfs struct {
	t   *testing.T
	dir string
}

func newRootfs(t *testing.T) *rootfs {
	r := &rootfs{t, t.TempDir()}
	for _, dir := range []string{"tmp", "proc", "etc"} {
		r.mkdir(dir, 0o755)
	}
	kit.Must(t, os.Chmod(filepath.Join(r.dir, "tmp"), 0o1777|os.ModeSticky))
	return r
}

func (r *rootfs) mkdir(path string, mode os.FileMode) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Join(r.dir, path), mode); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rootfs) write(path, content string, mode os.FileMode) {
	r.t.Helper()
	r.mkdir(filepath.Dir(path), 0o755)
	if err := os.WriteFile(filepath.Join(r.dir, path), []byte(content), mode); err != nil {
		r.t.Fatal(err)
	}
}

// copy takes a file or a tree of the machine, links followed.
func (r *rootfs) copy(from, to string) {
	r.t.Helper()
	r.mkdir(filepath.Dir(to), 0o755)
	if out, err := exec.Command("cp", "-rL", from, filepath.Join(r.dir, to)).CombinedOutput(); err != nil {
		r.t.Fatalf("copy %s: %v: %s", from, err, out)
	}
}

// programs takes programs of the machine with the libraries they are linked to, into /bin.
func (r *rootfs) programs(names ...string) {
	r.t.Helper()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			r.t.Fatal(err)
		}
		r.copy(path, "bin/"+filepath.Base(name))
		r.libraries(path)
	}
}

var library = regexp.MustCompile(`(?m)(?:=> |^\s+)(/\S+) \(0x`)

func (r *rootfs) libraries(binaries ...string) {
	r.t.Helper()
	for _, binary := range binaries {
		out, err := exec.Command("ldd", binary).CombinedOutput()
		if err != nil {
			if strings.Contains(string(out), "not a dynamic executable") {
				continue
			}
			r.t.Fatalf("ldd %s: %v: %s", binary, err, out)
		}
		for _, m := range library.FindAllStringSubmatch(string(out), -1) {
			if _, err := os.Stat(filepath.Join(r.dir, m[1])); err != nil {
				r.copy(m[1], strings.TrimPrefix(m[1], "/"))
			}
		}
	}
}

// own gives a path to a user of the image.
func (r *rootfs) own(path string, user int) {
	r.t.Helper()
	err := filepath.Walk(filepath.Join(r.dir, path), func(name string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, user, user)
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// image imports the tree under a name. Each change is a line of a Dockerfile.
func (r *rootfs) image(e *engine, name string, changes ...string) {
	r.t.Helper()
	script := `tar -C "$1" --numeric-owner -cf - . | docker import `
	for _, c := range changes {
		script += fmt.Sprintf("--change '%s' ", c)
	}
	cmd := exec.Command("sh", "-c", script+`- "$2"`, "sh", r.dir, name)
	cmd.Env = e.env
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("import %s: %v: %s", name, err, out)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		r.t.Error(err)
	}
}
