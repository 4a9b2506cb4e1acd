// Package screen lays out text for people: help pages and sentences that fit the screen.
package screen

import (
	"strings"
	"unicode/utf8"
)

// Width is what a line for people may have.
const Width = 80

const (
	// broken is from which length on a line of the texts ends because it is full, so that the next one continues it.
	broken = 90
	// farthest is the last column at which explanations stand beside what they explain; others begin on a line of their own.
	farthest, further = 32, 10
)

// explained parts a line from the explanation that it has in a second column; what is empty where it has none.
func explained(line string) (head, gap, what string) {
	indent := len(line) - len(strings.TrimLeft(line, " "))
	at := strings.Index(line[indent:], "  ")
	if at < 0 {
		return "", "", ""
	}
	head, gap = line[:indent+at], line[indent+at:]
	what = strings.TrimLeft(gap, " ")
	return head, strings.TrimSuffix(gap, what), what
}

// Fold makes a help page fit the screen: paragraphs are filled anew, explanations stay in their column.
func Fold(page string) string {
	var out strings.Builder
	lines := strings.Split(strings.TrimSuffix(page, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], " ")
		if utf8.RuneCountInString(line) <= Width {
			out.WriteString(line + "\n")
			continue
		}
		if head, gap, what := explained(line); what != "" {
			column := utf8.RuneCountInString(head + gap)
			if column > farthest {
				out.WriteString(head + "\n")
				head, column = "", further
			}
			Fill(&out, head, column, 0, strings.Fields(what))
			continue
		}
		indent := len(line) - len(strings.TrimLeft(line, " "))
		words := strings.Fields(line)
		for utf8.RuneCountInString(line) >= broken && i+1 < len(lines) && continues(lines[i+1], indent) {
			i++
			line = lines[i]
			words = append(words, strings.Fields(line)...)
		}
		Fill(&out, "", indent, 0, words)
	}
	return out.String()
}

// continues says that line is more of a paragraph with that indent.
func continues(line string, indent int) bool {
	text := strings.TrimLeft(line, " ")
	_, _, what := explained(line)
	return text != "" && len(line)-len(text) == indent && what == ""
}

// Fill writes words on lines that fit the screen: the first behind head, from column on; the others from column
// further, or column itself when that is less.
func Fill(out *strings.Builder, head string, column, further int, words []string) {
	at := 0
	begin := func(text string, column int) {
		out.WriteString(text + strings.Repeat(" ", max(column-utf8.RuneCountInString(text), 0)))
		at = column
	}
	begin(head, column)
	for i, word := range words {
		n := utf8.RuneCountInString(word)
		if i > 0 {
			if at+1+n > Width {
				out.WriteString("\n")
				begin("", max(column, further))
			} else {
				out.WriteString(" ")
				at++
			}
		}
		out.WriteString(word)
		at += n
	}
	out.WriteString("\n")
}
