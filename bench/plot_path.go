package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// checkPlotPath says, before any long work, whether a picture can be written to path.
func checkPlotPath(path string) error {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".svg", ".png":
	default:
		return fmt.Errorf("plot: %q ends in neither .svg nor .png", path)
	}
	return CheckWritable("plot", path)
}

// CheckWritable says, before any long work, whether a report can be written to path; "" is no report. It opens path for
// writing without changing what is there, and removes what it had to make.
func CheckWritable(field, path string) error {
	if path == "" {
		return nil
	}
	_, missing := os.Stat(path)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w; name a file in a directory that exists and can be written", field, err)
	}
	f.Close()
	if missing != nil {
		os.Remove(path)
	}
	return nil
}
