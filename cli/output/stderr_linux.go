package output

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const stderrFD = 2

// Stderr is descriptor 2 of a process that must end when it panics, whoever reads it: the runtime writes the trace
// there first, with plain writes, and would wait for ever for a reader that stands still.
type Stderr struct {
	*os.File // for everybody else: what is written here may wait, though never longer than a deadline
	relay    *relay
}

// GuardStderr makes descriptor 2 one that no write waits for, and changes nothing for the programs that share it: a
// pipe or a terminal is opened anew. A socket, which cannot be, is set so. Where opening is refused (a pipe of another
// user), 2 becomes a pipe that a child process empties into the old one: the program as argv. What is neither pipe,
// terminal nor socket stays as it is.
func GuardStderr(argv []string) (*Stderr, error) {
	var st unix.Stat_t
	if err := unix.Fstat(stderrFD, &st); err != nil {
		return nil, fmt.Errorf("look at stderr: %w", err)
	}
	_, notTerminal := unix.IoctlGetTermios(stderrFD, unix.TCGETS)
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFSOCK:
		return stderrSocket()
	case kind == unix.S_IFIFO, kind == unix.S_IFCHR && notTerminal == nil:
	default:
		return nil, nil
	}
	const flags = unix.O_WRONLY | unix.O_NONBLOCK | unix.O_NOCTTY
	f, err := os.OpenFile("/proc/self/fd/2", flags, 0)
	if err != nil {
		return relayStderr(argv)
	}
	if err := putAsStderr(f); err != nil {
		return nil, err
	}
	return &Stderr{File: f}, nil
}

func stderrSocket() (*Stderr, error) {
	if err := unix.SetNonblock(stderrFD, true); err != nil {
		return nil, fmt.Errorf("set stderr: %w", err)
	}
	fd, err := unix.FcntlInt(stderrFD, unix.F_DUPFD_CLOEXEC, stderrFD+1)
	if err != nil {
		return nil, fmt.Errorf("double stderr: %w", err)
	}
	return &Stderr{File: os.NewFile(uintptr(fd), "stderr")}, nil
}

func putAsStderr(f *os.File) (err error) {
	raw, err := f.SyscallConn()
	if err == nil {
		err = errors.Join(raw.Control(func(fd uintptr) { err = unix.Dup3(int(fd), stderrFD, 0) }), err)
	}
	if err != nil {
		return fmt.Errorf("replace stderr: %w", err)
	}
	return nil
}
