package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine says on what, and with which program, a report was made.
type Machine struct {
	CPUs   int    `json:"cpus"`
	Model  string `json:"model"`
	Memory string `json:"memory"`
	System string `json:"system"`
	Go     string `json:"go"`
	Commit string `json:"commit"`
	Policy string `json:"scheduling,omitempty"` // of this process, where it is not the usual one
}

func thisMachine() Machine {
	return Machine{
		CPUs: runtime.NumCPU(), Model: procField("/proc/cpuinfo", "model name"), Memory: memory(),
		System: strings.TrimSpace(runtime.GOOS + " " + kernel()), Go: runtime.Version(), Commit: release, Policy: schedulingPolicy(),
	}
}

func (m Machine) String() string {
	text := fmt.Sprintf("%d x %s, %s, %s, %s, commit %s", m.CPUs, m.Model, m.Memory, m.System, m.Go, m.Commit)
	if m.Policy != "" {
		text += ", scheduled " + m.Policy
	}
	return text
}

// procField is the first value of a "name : value" file, or "unknown".
func procField(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func memory() string {
	bytes := memoryBytes()
	if bytes == 0 {
		return "unknown memory"
	}
	return fmt.Sprintf("%.0f GiB", float64(bytes)/(1<<30))
}

// memoryBytes is 0 where it is not known.
func memoryBytes() uint64 {
	var kb uint64
	_, _ = fmt.Sscanf(procField("/proc/meminfo", "MemTotal"), "%d kB", &kb)
	return kb << 10
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// release is what this program was built from: set by the linker (Makefile).
var release = "unknown"

// loadAverage is how many threads wanted a core in the last minute; empty where it is not known.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
