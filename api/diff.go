package api

import "time"

// Diff is /v1/diff: what the members disagree about, as this node sees it.
type Diff struct {
	Gossip   bool         `json:"gossip"`
	Node     string       `json:"node,omitempty"`
	Cluster  string       `json:"cluster,omitempty"`
	Agree    bool         `json:"agree"`    // as far as nodes were compared
	Complete bool         `json:"complete"` // there are other members, and all were compared, also those that failed
	Settling int          `json:"settling"` // brokers that differ, but so recently that an update may be on its way
	Total    int          `json:"total"`    // divergent brokers; Brokers may hold fewer (?limit=)
	Nodes    []DiffNode   `json:"nodes"`    // this one first
	Brokers  []DiffBroker `json:"brokers"`
	Drifts   []Drift      `json:"drifts"`           // of the KV store and the configuration
	Topics   []DiffTopics `json:"topics,omitempty"` // with ?broker=NAME
}

// DiffNode is one node.
type DiffNode struct {
	Name     string `json:"name"`
	Self     bool   `json:"self"`
	Compared bool   `json:"compared"`
	Why      string `json:"why,omitempty"` // it could not be compared
	Waiting  bool   `json:"waiting"`       // it (re)started and waits for brokers: what it lacks is no divergence yet
	Brokers  int    `json:"brokers"`       // addresses that it serves
	Skipped  int    `json:"skipped"`       // of them, how many are too many to be compared
}

// DiffBroker is a broker address about which nodes differ.
type DiffBroker struct {
	Cluster string        `json:"cluster"`
	Broker  string        `json:"broker"`
	ID      int64         `json:"id"`
	Addr    string        `json:"addr"`
	Since   time.Time     `json:"since"` // when this node first saw it
	LastsMS float64       `json:"lasts_ms"`
	Reason  string        `json:"reason"` // a name of reasons in docs/operations.md
	Why     string        `json:"why"`    // the same in words
	Nodes   []DiffHolding `json:"nodes"`  // this one first; those that were not compared are left out
}

// DiffHolding is what one node has of a broker address.
type DiffHolding struct {
	Node        string       `json:"node"`
	Held        bool         `json:"held"`
	DataVersion *DataVersion `json:"data_version,omitempty"`
	Topics      int          `json:"topics,omitempty"`   // of the broker name
	Writable    int          `json:"writable,omitempty"` // of them, how many may be written to
	Hash        string       `json:"hash,omitempty"`     // of all that is served for the broker name
	Kept        string       `json:"kept,omitempty"`     // why a tombstone did not evict it: an outcome of docs/metrics.md
}

// Names are the names that differ from a node's, at most 100.
type Names struct {
	OnlyHere  []string `json:"only_here,omitempty"`
	OnlyThere []string `json:"only_there,omitempty"`
	Differ    []string `json:"differ,omitempty"`
	More      bool     `json:"more,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// Drift is a node whose KV store or configuration is not this node's. Values are never sent.
type Drift struct {
	What    string  `json:"what"` // "kv" or "configuration"
	Node    string  `json:"node"`
	LastsMS float64 `json:"lasts_ms"`
	Names
}

// DiffTopics are the topics of one broker name that differ from a node's.
type DiffTopics struct {
	Node   string `json:"node"`
	Broker string `json:"broker"`
	Names
}
