package mqadmin

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// canonical is a body in one form: JSON with its lists sorted, because Java's own order is mostly that of hash maps, or
// other text (properties) with its lines sorted.
func canonical(text string) string {
	if text == "" {
		return ""
	}
	quoted := string(kit.Standard([]byte(text)))
	var v any
	if err := json.Unmarshal([]byte(quoted), &v); err != nil {
		lines := strings.Split(text, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	out, err := json.Marshal(kit.SortLists(v))
	if err != nil {
		return err.Error()
	}
	dialect := ""
	if quoted != text {
		dialect = "unquoted keys: "
	}
	return fmt.Sprintf("%s%d bytes: %s", dialect, len(text), out)
}

var opaque = regexp.MustCompile(`"opaque":-?\d+`)

// conversation is what was said during one command, each thing once and sorted: clients ask from several threads, and
// how often they ask again is a matter of time.
func (w *world) conversation(said []kit.Exchange) []string {
	set := map[string]bool{}
	for _, e := range said {
		q := e.Request
		line := fmt.Sprintf("%d version %d %v flag %d %s %s", q.Code, q.Version, q.Language, q.Flag, extText(q.ExtFields), canonical(w.plain(string(q.Body))))
		if e.Answer == nil {
			line += "\n  -> no answer"
		} else {
			line += "\n  -> " + canonical(opaque.ReplaceAllString(w.plain(e.Answer.Header), `"opaque":0`)) + "\n     " + canonical(w.plain(string(e.Answer.Body)))
		}
		set[w.plain(line)] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func extText(ext map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(ext)) {
		parts = append(parts, fmt.Sprintf("%s=%q", k, ext[k]))
	}
	return strings.Join(parts, " ")
}

// What differs from run to run in any text.
var volatile = []struct {
	find *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b[0-9A-F]{32,64}\b`), "<message id>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([.,]\d+)?`), "<time>"},
	{regexp.MustCompile(`\b1[78]\d{11}\b`), "<milliseconds>"},
	{regexp.MustCompile(`<127\.0\.0\.1:\d+>`), "<peer>"},
	{regexp.MustCompile(`^(TOOLS_CONSUMER +\d+) .*`), "$1 <of a command before, which may not have left yet>"},
	{regexp.MustCompile(`(wait response on the channel|connect to|send request to) +\S+( failed| timeout)?`), "$1 <peer>$2"},
}

var (
	number = regexp.MustCompile(`-?\d+(\.\d+)?([eE]-?\d+)?`)
	blanks = regexp.MustCompile(`[ \t]+`)
)

// readable is what a command printed in the form that is compared.
func (w *world) readable(printed string, kind text) string {
	var lines []string
	for _, line := range strings.Split(w.plain(printed), "\n") {
		line = strings.TrimRight(line, " \r\t")
		if line == "" || logging(line) {
			continue
		}
		for _, v := range volatile {
			line = v.find.ReplaceAllString(line, v.with)
		}
		if kind == figures {
			line = strings.TrimSpace(blanks.ReplaceAllString(number.ReplaceAllString(line, "#"), " "))
		}
		lines = append(lines, line)
	}
	if kind != exact {
		slices.Sort(lines)
	}
	if kind == figures {
		lines = slices.Compact(lines)
	}
	return strings.Join(lines, "\n")
}

// logging says that a line comes from a logging library, or is the way an exception took through the code.
func logging(line string) bool {
	return strings.Contains(line, "|-INFO") || strings.HasPrefix(line, "RocketMQLog:") ||
		strings.HasPrefix(line, "\tat ") || strings.HasPrefix(line, "\t... ")
}
