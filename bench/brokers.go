package bench

import (
	"fmt"
	"strconv"
)

const (
	clusterName = "BenchCluster"
	topicPrefix = "bench-topic-"
	missPrefix  = "bench-absent"
	// queuesA and queuesB are the queue numbers between which changing topics alternate: one digit each, so that
	// a body keeps its length.
	queuesA, queuesB = '4', '8'
)

// address is one broker process: a master (id 0) or a slave (id 1).
type address struct {
	broker   string
	index    int // of the broker name in the profile
	id       int
	addr, ha string
}

// addressesOf lists the processes of broker b: its master, and its slave if the profile has slaves.
func (p Profile) addressesOf(b int) []address {
	ids := 1
	if p.Slaves {
		ids = 2
	}
	all := make([]address, ids)
	for id := range all {
		host := fmt.Sprintf("10.%d.%d.%d", 1+id, b/250, 1+b%250)
		all[id] = address{broker: brokerName(b), index: b, id: id, addr: host + ":10911", ha: host + ":10912"}
	}
	return all
}

// addresses lists all broker processes of the profile.
func (p Profile) addresses() []address {
	var all []address
	for b := range p.Brokers {
		all = append(all, p.addressesOf(b)...)
	}
	return all
}

func brokerName(b int) string { return fmt.Sprintf("bench-broker-%05d", b) }

func topicName(topic int) string { return fmt.Sprintf("%s%0*d", topicPrefix, topicDigits, topic) }

// registerBody is the body by which one broker announces its topics. Versions and queue numbers are patched in
// place, so that registering again costs the generator little.
type registerBody struct {
	bytes     []byte
	counterAt int
	counter   uint32
	queuesAt  []int32 // where the queue numbers of the changing topics are
	changed   bool    // they are queuesB now
}

// newRegisterBody builds the body of broker b; every changeEvery-th topic changes with each next (0: none, not
// even the version).
func (p Profile) newRegisterBody(b, changeEvery int) *registerBody {
	topics := p.topicsOf(b)
	r := &registerBody{bytes: make([]byte, 0, 256+180*len(topics)), counter: opaqueBase}
	put := func(s string) { r.bytes = append(r.bytes, s...) }
	put(`{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":`)
	r.counterAt = len(r.bytes)
	put(strconv.Itoa(opaqueBase) + `,"stateVersion":0,"timestamp":1700000000000},` +
		`"mappingDataVersion":{"counter":0,"stateVersion":0,"timestamp":1700000000000},"topicConfigTable":{`)
	queues := func(changes bool) {
		if changes {
			r.queuesAt = append(r.queuesAt, int32(len(r.bytes)))
		}
		r.bytes = append(r.bytes, queuesA)
	}
	for i, t := range topics {
		if i > 0 {
			put(",")
		}
		name := topicName(t)
		changes := changeEvery > 0 && i%changeEvery == 0
		put(`"` + name + `":{"attributes":{},"order":false,"perm":6,"readQueueNums":`)
		queues(changes)
		put(`,"topicFilterType":"SINGLE_TAG","topicName":"` + name + `","topicSysFlag":0,"writeQueueNums":`)
		queues(changes)
		put(`}`)
	}
	put(`},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}}`)
	return r
}

// next moves the data version on and changes the topics that change.
func (r *registerBody) next() {
	r.counter++
	putDigits(r.bytes[r.counterAt:r.counterAt+opaqueDigits], r.counter)
	r.changed = !r.changed
	digit := byte(queuesA)
	if r.changed {
		digit = queuesB
	}
	for _, at := range r.queuesAt {
		r.bytes[at] = digit
	}
}
