package bench

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

//go:embed method.md
var method string

// WriteDocument makes docs/performance.md from a comparison, with its plots in img beside it: the method, the goals
// beside the figures, and how to repeat it.
func (r *CompareReport) WriteDocument(path string) error {
	return writeDocument(path, method, r.WriteMarkdown, r.WritePlots)
}

// writeDocument makes a page of a method, the figures, and the plots, which come into img beside it.
func writeDocument(path, method string, figures func(io.Writer) error, drawn func(dir string) ([]string, error)) error {
	images := filepath.Join(filepath.Dir(path), "img")
	if err := os.MkdirAll(images, 0o755); err != nil {
		return fmt.Errorf("make the folder of the plots: %w", err)
	}
	plots, err := drawn(images)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(method)
	b.WriteString("\n## Measured\n\n")
	if err := figures(&b); err != nil {
		return err
	}
	for _, name := range plots {
		fmt.Fprintf(&b, "\n![%s](img/%s)\n", name, name)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}
