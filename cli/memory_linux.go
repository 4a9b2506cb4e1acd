package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram gives back the pages of the program file that are mapped read-only: code, constants, the tables of the
// runtime. What is used again is mapped again from the page cache, by a minor fault.
func unmapProgram() error { return adviseProgram(unix.MADV_DONTNEED) }

func adviseProgram(advice uintptr) error {
	mappings, err := programMappings()
	for _, m := range mappings {
		if _, _, fault := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, advice); fault != 0 {
			err = errors.Join(err, fmt.Errorf("madvise: %w", fault))
		}
	}
	return err
}

// programMappings lists the read-only mappings of the program file, but those that hold pages of their own (relocations
// of a position-independent program, breakpoints): the file could not restore them.
func programMappings() (found []mapping, err error) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("find program file: %w", err)
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, fmt.Errorf("list mappings: %w", err)
	}
	defer smaps.Close()
	var candidate mapping
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		if m, ok := mappingOf(line); ok {
			candidate = mapping{}
			if strings.HasPrefix(m.perms, "r-") && strings.HasSuffix(line, " "+exe) {
				candidate = m
			}
		} else if own, ok := strings.CutPrefix(line, "Anonymous:"); ok &&
			candidate != (mapping{}) && strings.TrimSpace(own) == "0 kB" {
			found = append(found, candidate)
		}
	}
	return found, lines.Err()
}

// mapping is one mapping of /proc/self/smaps: addresses and permissions.
type mapping struct {
	start, end uintptr
	perms      string
}

// mappingOf reads the first line of a mapping, such as "00400000-00c5a000 r-xp 00000000 fd:00 42 /usr/bin/epitaph".
func mappingOf(line string) (m mapping, ok bool) {
	addresses, rest, _ := strings.Cut(line, " ")
	first, last, ok := strings.Cut(addresses, "-")
	if !ok {
		return mapping{}, false
	}
	start, err1 := strconv.ParseUint(first, 16, 64)
	end, err2 := strconv.ParseUint(last, 16, 64)
	perms, _, _ := strings.Cut(rest, " ")
	if err1 != nil || err2 != nil {
		return mapping{}, false
	}
	return mapping{uintptr(start), uintptr(end), perms}, true
}
