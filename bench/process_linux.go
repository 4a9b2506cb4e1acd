package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// threadTimes is the CPU time of each thread of a process.
type threadTimes map[string]time.Duration

// readThreads reads /proc/PID/task/*/schedstat, which counts nanoseconds; /proc/PID/stat has only clock ticks of 10 ms,
// as much as a whole registration costs.
func readThreads(pid int) (threadTimes, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read threads of process %d: %w", pid, err)
	}
	times := make(threadTimes, len(tasks))
	for _, t := range tasks {
		text, err := os.ReadFile(filepath.Join(dir, t.Name(), "schedstat"))
		if err != nil {
			continue // the thread has just ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read schedstat of process %d: %w", pid, err)
		}
		times[t.Name()] = time.Duration(ns)
	}
	return times, nil
}

// since is the CPU time spent from earlier to t. The last moments of threads that ended in between are not in it.
func (t threadTimes) since(earlier threadTimes) time.Duration {
	var sum time.Duration
	for id, now := range t {
		sum += now - earlier[id]
	}
	return sum
}

// readRSS is the resident memory of a process in bytes.
func readRSS(pid int) (int64, error) {
	m, err := readProcess(pid)
	return m.rss, err
}

// readProcess reads the memory and the open files of a process.
func readProcess(pid int) (processState, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return processState{}, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	var m processState
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmRSS": &m.rss, "RssAnon": &m.anon, "VmHWM": &m.peak}[name]
		if to == nil {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return processState{}, fmt.Errorf("read %s of process %d: %w", name, pid, err)
		}
		*to = kb << 10
	}
	if m.rss == 0 {
		return processState{}, errors.New("no VmRSS in the status of the process")
	}
	if dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
		defer dir.Close()
		names, _ := dir.Readdirnames(-1) // those that could be read
		m.files = len(names)
	}
	return m, nil
}

// forgetPeak lets the peak of a process's memory begin anew, where the kernel allows it.
func forgetPeak(pid int) { _ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) }

// listener finds the process of this machine that listens on a TCP port; 0 when none can be seen.
func listener(port int) int {
	inode := listenInode("/proc/net/tcp", port)
	if inode == "" {
		inode = listenInode("/proc/net/tcp6", port)
	}
	if inode == "" {
		return 0
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == "socket:["+inode+"]" {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			return pid
		}
	}
	return 0
}

// listenInode looks for the socket in state LISTEN (0A) on a port.
func listenInode(table string, port int) string {
	text, err := os.ReadFile(table)
	if err != nil {
		return ""
	}
	suffix := fmt.Sprintf(":%04X", port)
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], suffix) {
			return f[9]
		}
	}
	return ""
}

// dieWithParent lets the kernel end a started server when this program ends, however it ends.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// schedulingPolicy names how the system schedules this process, unless it does so as it does by default.
func schedulingPolicy() string {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return ""
	}
	switch attr.Policy {
	case unix.SCHED_FIFO:
		return "in real time (FIFO)"
	case unix.SCHED_RR:
		return "in real time (round robin)"
	case unix.SCHED_BATCH, unix.SCHED_IDLE:
		return "as batch work"
	}
	return ""
}
