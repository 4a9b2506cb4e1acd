package bench

import (
	"fmt"
	"io"
	"strings"

	"github.com/epitaph-mq/epitaph/cli/screen"
)

// Table is rows of text under a header, for terminals and for Markdown.
type Table struct {
	Header []string
	Rows   [][]string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// WriteMarkdown writes the table as GitHub shows it; the first column is left-aligned, the others right.
func (t *Table) WriteMarkdown(w io.Writer) error {
	rule := make([]string, len(t.Header))
	for i := range rule {
		rule[i] = "---:"
	}
	rule[0] = "---"
	for _, row := range append([][]string{t.Header, rule}, t.Rows...) {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | ")); err != nil {
			return err
		}
	}
	return nil
}

// WriteText writes the table in columns; the first is left-aligned, the others right.
func (t *Table) WriteText(w io.Writer) error {
	return screen.Columns(w, append([][]string{t.Header}, t.Rows...), true)
}
