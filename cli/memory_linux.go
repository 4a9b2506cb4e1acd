package cli

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram gives back the pages of the program file that are mapped read-only: code, constants, the tables of the
// runtime. What is used again is mapped again from the page cache, by a minor fault. A mapping that holds pages of its
// own (relocations of a position-independent program, breakpoints) is left alone: the file could not restore them.
func unmapProgram() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find program file: %w", err)
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("list mappings: %w", err)
	}
	defer smaps.Close() //nolint:errcheck // only read
	var candidate mapping
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		if m, ok := mappingOf(line); ok {
			candidate = mapping{}
			if strings.HasPrefix(m.perms, "r-") && strings.HasSuffix(line, " "+exe) {
				candidate = m
			}
			continue
		}
		own, ok := strings.CutPrefix(line, "Anonymous:")
		if !ok || candidate == (mapping{}) || strings.TrimSpace(own) != "0 kB" {
			continue
		}
		if _, _, fault := unix.Syscall(unix.SYS_MADVISE, candidate.start, candidate.end-candidate.start, unix.MADV_DONTNEED); fault != 0 {
			return fmt.Errorf("madvise: %w", fault)
		}
	}
	return lines.Err()
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
	return mapping{uintptr(start), uintptr(end), perms}, err1 == nil && err2 == nil
}
