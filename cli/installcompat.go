package cli

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/epitaph-mq/epitaph/cli/command"
)

// The scripts that take the place of RocketMQ's.
var (
	//go:embed stand/mqnamesrv.sh
	mqnamesrvScript string
	//go:embed stand/mqshutdown.sh
	mqshutdownScript string
)

const (
	standMark = `"epitaph install-compat"` // in every script of ours
	keptEnd   = ".rocketmq"                // behind the name of the original that one stands in for
)

func (p *program) installCompatCommand() *command.Command {
	var undo bool
	v := view{out: p.stdout}
	return &command.Command{
		Name:      "install-compat",
		Usage:     "let a RocketMQ installation's own scripts start and stop this NameServer",
		UsageText: "epitaph install-compat [--undo] DIR [--json]",
		Description: `DIR is a RocketMQ installation, or its bin. Two scripts are replaced there: mqnamesrv, and of mqshutdown what
"mqshutdown namesrv" does; everything else, such as "mqshutdown broker", is left to the originals, which are kept
beside them as mqnamesrv.rocketmq and mqshutdown.rocketmq. Start lines such as "nohup sh mqnamesrv &", units and
container commands stay as they are. Options in runserver.sh are read; that script is neither changed nor run.

Nothing that runs is started or stopped. It may be repeated, and is to be repeated when RocketMQ or this program
has moved or was upgraded.

Example:
    epitaph install-compat /opt/rocketmq`,
		Flags: []command.Flag{
			{To: &undo, Name: "undo", Usage: "put the originals back"},
			{To: &v.json, Name: "json", Usage: "for programs: JSON"},
		},
		Argument: "DIR",
		Run: func(_ context.Context, args []string) error {
			dir, err := scriptDir(args[0])
			if err != nil {
				return err
			}
			do := p.installCompat
			if undo {
				do = undoCompat
			}
			done, err := do(dir)
			if v.json {
				return errors.Join(v.printAsJSON(done), err)
			}
			for _, script := range done {
				fmt.Fprintln(p.stdout, script.Path+": "+script.Done)
			}
			return err
		},
	}
}

// stoodIn is a script and what was done about it.
type stoodIn struct {
	Path string `json:"path"`
	Done string `json:"done"`
}

// scriptDir is the directory below dir, or dir itself, that has RocketMQ's scripts.
func scriptDir(dir string) (string, error) {
	for _, d := range []string{filepath.Join(dir, "bin"), dir} {
		for _, name := range []string{"mqnamesrv", "mqnamesrv" + keptEnd} {
			if _, err := os.Lstat(filepath.Join(d, name)); err == nil {
				return filepath.Abs(d)
			}
		}
	}
	return "", fmt.Errorf("%s: neither it nor its bin has a mqnamesrv: want the directory of a RocketMQ installation", dir)
}

func (p *program) installCompat(dir string) (all []stoodIn, err error) {
	self, err := p.ownPath()
	if err != nil {
		return nil, err
	}
	quoted := "'" + strings.ReplaceAll(self, "'", `'\''`) + "'"
	for _, script := range []struct{ name, text string }{
		{"mqnamesrv", strings.Replace(mqnamesrvScript, "@EPITAPH@", quoted, 1)}, {"mqshutdown", mqshutdownScript},
	} {
		path := filepath.Join(dir, script.name)
		done, err := standIn(path, script.text)
		if err != nil {
			return all, fmt.Errorf("%s: %w", script.name, err)
		}
		all = append(all, stoodIn{path, done})
	}
	return all, nil
}

// standIn puts a script in the place of another one, which is kept, and says what was done.
func standIn(path, text string) (done string, err error) {
	mode := fs.FileMode(0o755)
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && filepath.Base(path) != "mqnamesrv":
		if _, err := os.Lstat(path + keptEnd); err != nil {
			return "is not there, and so not replaced", nil //nolint:nilerr // there is nothing to replace
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	done = "stands in for the original, kept as " + filepath.Base(path) + keptEnd
	keep := err == nil && !isOurs(path)
	switch {
	case err == nil && !keep:
		done = "renewed"
	case keep && there.Mode().IsRegular():
		mode = there.Mode().Perm() | 0o111
	}
	made := path + ".epitaph.tmp"
	if err := os.WriteFile(made, []byte(text), mode); err != nil {
		return "", err
	}
	if err := os.Chmod(made, mode); err != nil {
		return "", errors.Join(err, os.Remove(made))
	}
	if keep {
		if err := os.Rename(path, path+keptEnd); err != nil {
			return "", errors.Join(err, os.Remove(made))
		}
	}
	if err := os.Rename(made, path); err != nil {
		if keep {
			err = errors.Join(err, os.Rename(path+keptEnd, path))
		}
		return "", errors.Join(err, os.Remove(made))
	}
	return done, nil
}

// isOurs says that a script is one of ours, or a link to this program, which need not be kept.
func isOurs(path string) bool {
	if text, err := optionFile(path); err == nil && strings.Contains(text, standMark) {
		return true
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	self, err := os.Executable()
	if err != nil {
		return false
	}
	self, err = filepath.EvalSymlinks(self)
	return err == nil && target == self
}

func undoCompat(dir string) (all []stoodIn, err error) {
	for _, name := range []string{"mqnamesrv", "mqshutdown"} {
		path, done := filepath.Join(dir, name), "is the original"
		_, err := os.Lstat(path)
		if _, keptErr := os.Lstat(path + keptEnd); keptErr == nil && (err != nil || isOurs(path)) {
			if err := os.Rename(path+keptEnd, path); err != nil {
				return all, fmt.Errorf("%s: %w", name, err)
			}
			done = "is the original again"
		} else if err != nil {
			done = "is not there"
		} else if isOurs(path) {
			return all, fmt.Errorf("%s is ours, but there is no %s%s to put back", path, name, keptEnd)
		}
		all = append(all, stoodIn{path, done})
	}
	return all, nil
}

// ownPath is where this program is found: by the name it was called by, where that is a link that an upgrade will turn.
func (p *program) ownPath() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	called, err := exec.LookPath(p.name)
	if err == nil {
		called, err = filepath.Abs(called)
	}
	if err != nil {
		return self, nil //nolint:nilerr // it was called by no name that can be found
	}
	a, errA := os.Stat(called)
	b, errB := os.Stat(self)
	if errA == nil && errB == nil && os.SameFile(a, b) {
		return called, nil
	}
	return self, nil
}
