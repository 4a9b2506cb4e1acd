// Package nearest finds the name that somebody probably meant.
package nearest

import "strings"

// Name is the one of names that differs least from what was written: in case only, or in few letters that were forgotten,
// added, mistaken or exchanged with their neighbour. Empty: none is near. Of equals the first counts.
func Name(written string, names []string) string {
	best, least := "", 1+len(written)/4
	if len(written) < 2 {
		least = 0
	}
	for _, name := range names {
		if strings.EqualFold(name, written) {
			return name
		}
		if d := Distance(strings.ToLower(written), strings.ToLower(name)); d <= least && (best == "" || d < least) {
			best, least = name, d
		}
	}
	return best
}

// Distance is how many changes make a of b: the optimal string alignment of Damerau and Levenshtein, over bytes.
func Distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
