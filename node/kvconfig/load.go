package kvconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/epitaph-mq/epitaph/node/atomicfile"
)

// Fault says that the store of the last run is not what the file holds: the file cannot be read or parsed, or it is
// absent or empty although a .bak stands beside it, which only a former store leaves.
type Fault struct {
	Path  string
	Bak   string // the .bak beside it; empty when there is none or it holds nothing
	Wrong error  // what is wrong with the file
	torn  bool   // it was read, and is no KV configuration
}

func (f *Fault) Error() string {
	remedy := "mend it, or move it away to start with no values"
	switch {
	case errors.Is(f.Wrong, fs.ErrPermission): // what it holds is newer than the .bak
		remedy = "let the user that runs epitaph read it (chown, chmod)"
	case f.Bak != "":
		remedy = atomicfile.PutBack(f.Bak, f.Path) + ", or move both away to start with no values"
	}
	return fmt.Sprintf("load kv config %s: %v; %s", f.Path, f.Wrong, remedy)
}

func (f *Fault) Unwrap() error { return f.Wrong }

// EmptyToOriginal tells whether the original starts with an empty store here: it never reads the .bak, and takes a file
// that it cannot read for an empty one. A file that it can read but not parse stops it too.
func (f *Fault) EmptyToOriginal() bool { return !f.torn }

// Errors of a file that holds nothing, beside a .bak that does.
var (
	errAbsent = errors.New("the file is not there")
	errEmpty  = errors.New("the file is empty")
	errNull   = errors.New("the file holds null in place of a table")
	// ErrDirectory says that an empty directory stands where the file belongs.
	ErrDirectory = errors.New("it is an empty directory, as Docker makes one when the file of a mount does not exist on the host: " +
		"stop the container, remove the directory and make the file there (touch); until then every change is refused")
)

// read returns the table that the file of path holds. An absent or empty file and an empty directory are an empty table;
// dir is ErrDirectory for the last. The error is a *Fault.
func read(path string) (t table, dir, err error) {
	fault := &Fault{Path: path, Bak: atomicfile.Kept(path)}
	content, err := content(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		fault.Wrong = errAbsent
	case errors.Is(err, ErrDirectory):
		fault.Wrong, dir = err, err
	case err != nil:
		fault.Wrong = err
		fault.torn = errors.Is(err, ErrTooLarge)
		return nil, nil, fault
	case len(withoutMark(content)) == 0:
		fault.Wrong = errEmpty
	default:
		t, fault.Wrong = decodeFile(content)
		switch {
		case fault.Wrong != nil:
			fault.torn = true
			return nil, nil, fault
		case t != nil:
			return t, nil, nil
		}
		fault.Wrong = errNull // no store writes that
	}
	if fault.Bak != "" {
		return nil, dir, fault
	}
	return table{}, dir, nil
}

func content(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		d, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		if _, err := d.Readdirnames(1); !errors.Is(err, io.EOF) {
			return nil, errors.Join(errors.New("it is a directory that is not empty"), err)
		}
		return nil, ErrDirectory
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("it is no file that values can be kept in (%s): remove it", info.Mode().Type())
	case info.Size() > MaxFileBytes:
		return nil, ErrTooLarge
	}
	return os.ReadFile(path)
}
