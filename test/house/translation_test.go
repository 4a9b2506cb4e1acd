package house

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// chinese is how the name of a page's Chinese twin ends.
const chinese = ".zh-CN.md"

var (
	fenced   = regexp.MustCompile("(?ms)^```.*?^```")
	comment  = regexp.MustCompile(`(?m) +# .*$`)
	heading  = regexp.MustCompile(`(?m)^(#+) `)
	code     = regexp.MustCompile("`[^`]+`")
	link     = regexp.MustCompile(`\]\(([^)]+)\)`)
	itemMark = regexp.MustCompile(`(?m)^(- |\d+\. |\| )`)
	// named are headings that are a name of something, as findings and alerts have: nameserver-silent, EpitaphDown.
	named = regexp.MustCompile(`(?m)^#+ ([a-z][\w-]*|[A-Z][a-z]+[A-Z]\w*)$`)
	// toTwin is a link to a Chinese page, or to a place in it.
	toTwin = regexp.MustCompile(`\.zh-CN(\.md(?:#.*)?)$`)
)

// TestTranslations holds every page that is translated to what no language changes.
func TestTranslations(t *testing.T) {
	var pages []string
	for _, folder := range []string{"", "docs"} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*"+chinese))
		kit.Must(t, err)
		for _, file := range files {
			pages = append(pages, path.Join(folder, strings.TrimSuffix(filepath.Base(file), chinese)))
		}
	}
	for _, page := range []string{"README", "docs/doctor", "docs/operations"} {
		if !slices.Contains(pages, page) {
			t.Errorf("%s%s is missing: %v are translated", page, chinese, pages)
		}
	}
	for _, page := range pages {
		t.Run(page, func(t *testing.T) { compareTwins(t, page+".md", page+chinese) })
	}
}

// compareTwins compares headings, lists and rows by number and order, code blocks but for their comments, code in the text
// and links in any order, where a link to a page is as good as one to its twin. Each of the two links to the other at its
// top, and a heading that is a name leads to the same place in both.
func compareTwins(t *testing.T, name, translated string) {
	t.Helper()
	original, translation := read(t, filepath.Join(root, name)), read(t, filepath.Join(root, translated))
	toTranslation, toOriginal := path.Base(translated), path.Base(name)
	for what, find := range map[string]func(text string) []string{
		"headings":    func(text string) []string { return found(heading, outside(text)) },
		"list items":  func(text string) []string { return found(itemMark, outside(text)) },
		"code blocks": func(text string) []string { return found(fenced, comment.ReplaceAllString(text, "")) },
		"code in text": func(text string) []string {
			return slices.Compact(slices.Sorted(slices.Values(found(code, flat(outside(text))))))
		},
		"links": func(text string) []string { return found(link, outside(text)) },
	} {
		want, got := find(original), find(translation)
		if len(want) == 0 {
			t.Errorf("%s has no %s: mend how this test looks for them", name, what)
		}
		if what == "links" {
			want, got = without(t, want, toTranslation, name), without(t, got, toOriginal, translated)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s of %s (-) and %s (+) differ:\n%s", what, name, translated, diff)
		}
	}
	places := anchors(translation)
	for _, place := range found(named, outside(original)) {
		if !places[strings.ToLower(place)] {
			t.Errorf("%s#%s leads nowhere, and %s has that place", translated, strings.ToLower(place), name)
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

// without takes the link to the twin out of links, which must be the first, and sorts the others without their languages.
func without(t *testing.T, links []string, twin, in string) []string {
	t.Helper()
	if len(links) == 0 || links[0] != twin {
		t.Errorf("the first link of %s is not %s", in, twin)
	} else {
		links = links[1:]
	}
	for i, to := range links {
		links[i] = toTwin.ReplaceAllString(to, "$1")
	}
	slices.Sort(links)
	return links
}
