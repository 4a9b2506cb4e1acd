package screen

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Gap is how many spaces stand between two columns.
const Gap = 2

// Columns writes rows with their cells below each other. The first column is aligned to the left, the others to the right
// if right says so. Ends of lines are not filled.
func Columns(w io.Writer, rows [][]string, right bool) error {
	var width []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			fill := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if cells[i] = cell + fill; right && i > 0 {
				cells[i] = fill + cell
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, strings.Repeat(" ", Gap)), " ")); err != nil {
			return err
		}
	}
	return nil
}
