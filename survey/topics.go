package survey

import (
	"hash/maphash"

	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// topics is every topic that any NameServer lists, with one sum for each NameServer: hashes first, so that a hundred thousand
// topics at three NameServers stay small; bodies are asked again only of those whose sums differ.
type topics struct {
	seed   maphash.Seed
	names  []string
	index  map[string]int32
	listed []bits     // by NameServer, of names
	sums   [][]uint64 // by NameServer: of the queues at brokers that all NameServers have; 0: none
}

// bits is a set of small numbers.
type bits []uint64

func (b *bits) add(i int) {
	for i/64 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

func (b bits) has(i int) bool { return i/64 < len(b) && b[i/64]&(1<<(i%64)) != 0 }

// unasked is the sum of a topic that a NameServer did not answer for: it is not compared.
const unasked = ^uint64(0)

func newTopics(servers int) *topics {
	return &topics{seed: maphash.MakeSeed(), index: map[string]int32{}, listed: make([]bits, servers), sums: make([][]uint64, servers)}
}

// list reads the answer to 206 of one NameServer, without a copy of names that are known.
func (t *topics) list(server int, data []byte) error {
	var s fastjson.Scanner
	s.Reset(data, nil)
	if s.Open() {
		for name, ok := s.Name(); ok; name, ok = s.Name() {
			if string(name) != "topicList" {
				s.Skip()
				continue
			}
			if s.OpenArray() {
				for s.Element() {
					t.mark(server, s.String())
				}
			}
		}
	}
	return s.End()
}

func (t *topics) mark(server int, name []byte) {
	i, known := t.index[string(name)]
	if !known {
		i = int32(len(t.names))
		t.names = append(t.names, string(name))
		t.index[t.names[i]] = i
	}
	t.listed[server].add(int(i))
}

// sum adds up what is served for a topic at all brokers but those that are left out; 0 is nothing.
func (t *topics) sum(route *body.TopicRoute, leftOut map[string]bool) (sum uint64) {
	for s, text := range routeFacts("", route) {
		if !leftOut[s.Broker] {
			sum += maphash.String(t.seed, s.Broker+"\x00"+text)
		}
	}
	return sum
}

// differ says that the sums of those that are compared are not all the same.
func (t *topics) differ(topic int, compared []bool) bool {
	first := -1
	for server, sums := range t.sums {
		switch {
		case !compared[server] || sums[topic] == unasked:
		case first < 0:
			first = server
		case sums[topic] != t.sums[first][topic]:
			return true
		}
	}
	return false
}
