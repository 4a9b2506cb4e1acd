package mq

import (
	"fmt"
	"unicode/utf8"
)

// shown is how many bytes of a text that strangers send are written to logs, to lists of conflicts and to screens. Names may be
// longer: brokers register topics of 390 bytes, in any script.
const shown = 256

// Cut is a text for logs, lists of conflicts and screens: whole if it has at most 256 bytes, else its beginning, a whole number of
// characters, and how long it was.
func Cut(s string) string { return CutTo(s, shown) }

// CutTo is Cut to another length in bytes.
func CutTo(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := limit
	for n > limit-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:n], len(s))
}
