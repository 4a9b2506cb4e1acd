//go:build linux

package netns

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// As the story, and the node that the broker tells first stands still: it takes the UNREGISTER into its socket and
// answers nothing, so the broker goes on only after its 3 s. When it goes on itself, the broker is long gone; its late
// word must change nothing.
func TestFrozenFirst(t *testing.T) {
	need(t, weightBroker)
	const scenario = "b. the same, first node of the list frozen"
	w := newWorld(t, "A", "B", "C")
	watches := watchAll(t, w.servers()...)
	b := launch(t, w.host("broker"), release5, "frozen", w.servers()...)
	b.MustBoot(t)
	for _, one := range watches {
		one.listed(t, kit.Patience, b.key)
	}
	order := b.order(t, w.servers()) // the broker shuffles its list
	first, second, third := w.nodes[order[0]], w.nodes[order[1]], w.nodes[order[2]]
	t.Logf("the broker's list is %s, %s, %s", first.name, second.name, third.name)
	cut(b.host, third.host)
	first.freeze(t)
	term := time.Now()
	b.Term()
	heard := watches[order[1]].gone(t, kit.Patience, b.key)
	gone := watches[order[2]].gone(t, kit.Patience, b.key)
	figures.took(scenario, "second of the list: gone, after SIGTERM (the broker waits 3 s for the first)", heard.Sub(term))
	figures.took(scenario, "third, path cut: gone, after the second", gone.Sub(heard))
	evictionShown(t, second, third, b.Name)

	first.thaw(t)
	back := time.Now()
	figures.took(scenario, "first: gone, after it went on", watches[order[0]].gone(t, kit.Patience, b.key).Sub(back))
	kit.Await(t, kit.Patience, "the members see each other again", func() error {
		return errors.Join(first.sees(3), second.sees(3), third.sees(3))
	})
	w.noneRefuted(t)
}

var orderLine = regexp.MustCompile(`name server address updated\. NEW : \[([^]]*)\]`)

// order is the broker's own order of its NameServers, as indexes of servers, from its log.
func (b *broker) order(t testing.TB, servers []*server) []int {
	t.Helper()
	var order []int
	kit.Await(t, kit.Patience, "order of the broker's list in its log", func() error {
		files, err := filepath.Glob(filepath.Join(b.Dir, "logs", "rocketmqlogs", "*.log"))
		if err != nil {
			return err
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			m := orderLine.FindStringSubmatch(string(text))
			if m == nil {
				continue
			}
			for _, addr := range strings.Split(m[1], ", ") {
				order = append(order, slices.IndexFunc(servers, func(s *server) bool { return s.addr == addr }))
			}
			return nil
		}
		return errors.New("no log has it")
	})
	if len(order) != len(servers) || slices.Contains(order, -1) {
		t.Fatalf("the broker's list is %v of %s", order, addrsOf(servers))
	}
	return order
}
