package admin_test

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/test/kit"
	"github.com/epitaph-mq/epitaph/test/kit/inproc"
)

// Every series that was once there is there from the start, with its type and its labels; names are as promtool wants them.
func TestNoSeriesIsTakenAway(t *testing.T) {
	n := inproc.StartNode(t, func(c *config.Config) { c.HTTP = "127.0.0.1:0" })
	resp, err := http.Get("http://" + n.HTTPAddr().String() + "/metrics")
	kit.Must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	kit.Must(t, err)
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	kit.Must(t, err)
	for _, p := range problems {
		t.Errorf("promtool would say: %s: %s", p.Metric, p.Text)
	}
	kinds := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (epitaph_\w+) (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		kinds[m[1]] = m[2]
	}
	var lines []string
	for _, m := range regexp.MustCompile(`(?m)^(epitaph_\w+)({[^}]*})? `).FindAllStringSubmatch(string(text), -1) {
		name := m[1]
		for _, part := range []string{"_sum", "_count"} { // of a summary
			if whole := strings.TrimSuffix(name, part); kinds[whole] == "summary" {
				name = whole
			}
		}
		if strings.HasSuffix(name, "_info") {
			m[2] = regexp.MustCompile(`"[^"]*"`).ReplaceAllString(m[2], `""`) // of this build and node
		}
		lines = append(lines, strings.TrimSpace(name+" "+kinds[name]+" "+strings.Trim(m[2], "{}")))
	}
	kit.Listed(t, "testdata/metrics.txt", lines)
}
