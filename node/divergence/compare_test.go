package divergence

import (
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/digest"
	"github.com/epitaph-mq/epitaph/mq"
)

// The likely reasons, for what is not easily made to happen.
func TestReasons(t *testing.T) {
	item := func(counter int64, topics, writable uint32, hash uint64, kept uint8) digest.Item {
		return digest.Item{Version: mq.DataVersion{Counter: counter}, Topics: topics, Writable: writable, Hash: hash, Kept: kept}
	}
	same := item(1, 10, 10, 5, 0)
	for name, c := range map[string]struct {
		held []Holding
		kind string
		want string
	}{
		"no connection": {[]Holding{{"n1", true, same}, {"n2", true, same}, {"n3", false, digest.Item{}}},
			"no_connection", "registers at n1, n2 and not at n3"},
		"kept here": {[]Holding{{"n1", true, item(1, 10, 10, 5, 7)}, {"n2", false, digest.Item{}}}, "missed_unregister", "n1 kept: "},
		"older":     {[]Holding{{"n1", true, same}, {"n2", true, item(2, 10, 10, 6, 0)}}, "older_data_version", "at n1"},
		"wiped":     {[]Holding{{"n1", true, same}, {"n2", true, item(1, 10, 0, 6, 0)}}, "write_permission", "at n2 only"},
		"topics":    {[]Holding{{"n1", true, item(1, 9, 9, 4, 0)}, {"n2", true, same}, {"n3", true, same}}, "topics", "at n1 only"},
		"queues":    {[]Holding{{"n1", true, same}, {"n2", true, item(1, 10, 10, 4, 0)}, {"n3", true, same}}, "queues", "at n2"},
	} {
		d := Divergence{Held: c.held}
		kind, words := d.Reason(&Clues{})
		if kind != c.kind || !strings.Contains(words, c.want) {
			t.Errorf("%s: %s, %q", name, kind, words)
		}
	}
}
