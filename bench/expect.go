package bench

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// expectation knows the right answer for every topic. The first answer to each topic is compared by its
// meaning with what the profile says; its hash is kept, and later answers are compared by it, byte for byte.
// An answer with other bytes (another order of brokers, changed queue numbers) is compared by meaning again.
type expectation struct {
	profile Profile
	changes bool // queue numbers may be either of the two that registrations alternate between
	partial bool // brokers of a topic may still be missing, or all of them
	seed    maphash.Seed
	hashes  []atomic.Uint64 // by topic; 0: not seen yet

	mu     sync.Mutex
	others map[uint64]bool // hash of topic and bytes -> right
	first  error           // the first wrong answer
}

// maxOthers bounds the memory for answers with other bytes; beyond it they are compared by meaning each time.
const maxOthers = 1 << 20

func newExpectation(p Profile) *expectation {
	return &expectation{profile: p, seed: maphash.MakeSeed(), hashes: make([]atomic.Uint64, p.Topics), others: map[uint64]bool{}}
}

// right says whether body answers a route query of the topic.
func (e *expectation) right(topic uint32, body []byte) bool {
	hash := maphash.Bytes(e.seed, body) | 1
	if known := e.hashes[topic].Load(); known == hash {
		return true
	}
	return e.rightByMeaning(topic, hash, body)
}

func (e *expectation) rightByMeaning(topic uint32, hash uint64, body []byte) bool {
	key := hash ^ uint64(topic)<<32
	e.mu.Lock()
	known := e.others[key]
	e.mu.Unlock()
	if known {
		return true
	}
	err := e.compare(int(topic), body)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		if e.first == nil {
			e.first = err
		}
		return false
	}
	if !e.hashes[topic].CompareAndSwap(0, hash) && len(e.others) < maxOthers {
		e.others[key] = true
	}
	return true
}

// note keeps err if it is the first thing that was wrong.
func (e *expectation) note(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first == nil {
		e.first = err
	}
}

func (e *expectation) firstWrong() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.first
}

// route is what of a route answer is compared.
type route struct {
	BrokerDatas []struct {
		Cluster     string            `json:"cluster"`
		BrokerName  string            `json:"brokerName"`
		BrokerAddrs map[string]string `json:"brokerAddrs"`
	} `json:"brokerDatas"`
	QueueDatas []struct {
		BrokerName     string `json:"brokerName"`
		ReadQueueNums  int    `json:"readQueueNums"`
		WriteQueueNums int    `json:"writeQueueNums"`
		Perm           int    `json:"perm"`
	} `json:"queueDatas"`
}

func (e *expectation) compare(topic int, body []byte) error {
	var got route
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Errorf("route of %s: %w", topicName(topic), err)
	}
	have := make([]string, 0, e.profile.Width)
	for _, b := range got.BrokerDatas {
		have = append(have, fmt.Sprint(b.Cluster, b.BrokerName, b.BrokerAddrs))
	}
	for _, q := range got.QueueDatas {
		digit := byte('0' + q.ReadQueueNums)
		if q.ReadQueueNums == q.WriteQueueNums && (digit == queuesA || e.changes && digit == queuesB) {
			q.ReadQueueNums, q.WriteQueueNums = 0, 0
		}
		have = append(have, fmt.Sprint(q))
	}
	slices.Sort(have)
	want := e.want(topic)
	some := e.partial && !slices.ContainsFunc(have, func(one string) bool { return !slices.Contains(want, one) })
	if !some && !slices.Equal(have, want) {
		return fmt.Errorf("route of %s: got [%s], want [%s]", topicName(topic), strings.Join(have, "; "), strings.Join(want, "; "))
	}
	return nil
}

// want is the sorted form that compare makes of a right answer.
func (e *expectation) want(topic int) []string {
	var want []string
	p := e.profile
	for k := range p.Width {
		b := (topic + k) % p.Brokers
		broker := brokerName(b)
		addrs := map[string]string{}
		for _, a := range p.addressesOf(b) {
			addrs[fmt.Sprint(a.id)] = a.addr
		}
		want = append(want, fmt.Sprint(clusterName, broker, addrs), fmt.Sprint(struct {
			Name              string
			Read, Write, Perm int
		}{broker, 0, 0, 6}))
	}
	slices.Sort(want)
	return want
}
