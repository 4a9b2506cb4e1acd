package house

import (
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// translations are documents and their Chinese twins.
var translations = map[string]string{
	"README.md": "README.zh-CN.md",
}

var (
	fenced   = regexp.MustCompile("(?ms)^```.*?^```")
	comment  = regexp.MustCompile(`(?m) +# .*$`)
	heading  = regexp.MustCompile(`(?m)^(#+) `)
	code     = regexp.MustCompile("`[^`]+`")
	link     = regexp.MustCompile(`\]\(([^)]+)\)`)
	itemMark = regexp.MustCompile(`(?m)^(- |\d+\. |\| )`)
)

// TestTranslations holds a translation to what no language changes: headings, lists and rows by number and order, code
// blocks but for their comments, code in the text and links in any order. Each of the two links to the other.
func TestTranslations(t *testing.T) {
	for name, translated := range translations {
		original, translation := read(t, filepath.Join(root, name)), read(t, filepath.Join(root, translated))
		for what, find := range map[string]func(text string) []string{
			"headings":    func(text string) []string { return found(heading, outside(text)) },
			"list items":  func(text string) []string { return found(itemMark, outside(text)) },
			"code blocks": func(text string) []string { return found(fenced, comment.ReplaceAllString(text, "")) },
			"code in text": func(text string) []string {
				return slices.Compact(slices.Sorted(slices.Values(found(code, flat(outside(text))))))
			},
			"links": func(text string) []string { return slices.Sorted(slices.Values(found(link, outside(text)))) },
		} {
			want, got := find(original), find(translation)
			if len(want) == 0 {
				t.Errorf("%s has no %s: mend how this test looks for them", name, what)
			}
			if what == "links" {
				want, got = without(t, want, translated, name), without(t, got, name, translated)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s of %s (-) and %s (+) differ:\n%s", what, name, translated, diff)
			}
		}
	}
}

// outside is the text without its code blocks.
func outside(text string) string { return fenced.ReplaceAllString(text, "") }

// flat joins lines, because code in the text may be broken over two.
func flat(text string) string {
	return regexp.MustCompile(`\s+`).ReplaceAllString(text, " ")
}

// found are the first groups of all matches, or the whole matches of an expression without groups.
func found(what *regexp.Regexp, text string) []string {
	var all []string
	for _, match := range what.FindAllStringSubmatch(text, -1) {
		all = append(all, match[len(match)-1])
	}
	return all
}

// without takes the link to the twin out of links, in which it must stand.
func without(t *testing.T, links []string, twin, in string) []string {
	t.Helper()
	at := slices.Index(links, twin)
	if at < 0 {
		t.Errorf("%s does not link to %s", in, twin)
		return links
	}
	return slices.Delete(links, at, at+1)
}
