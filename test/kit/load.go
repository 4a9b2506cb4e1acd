package kit

import (
	"os"
	"strings"
)

// Load is the machine's load, the mean of the last minute; unknown where the kernel does not tell it.
func Load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}
