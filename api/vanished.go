package api

import "time"

// Vanished is /v1/vanished: what a node knows of hosts that fall silent (--dead-hosts), and what it decided, newest first. Without ?broker= hosts
// are those that are silent, the longest silent first.
type Vanished struct {
	Asked
	Gossip      bool               `json:"gossip"`
	Mode        string             `json:"mode"` // "off": it judges nobody; "observe": it tells whom it would take out; "on": it takes them out
	Node        string             `json:"node,omitempty"`
	Cluster     string             `json:"cluster,omitempty"`
	AfterMS     float64            `json:"after_ms"` // silence from which on a host may be taken for vanished
	Nodes       int                `json:"nodes"`    // NameServer nodes that there are, the dead ones counted
	Living      int                `json:"living"`   // of them, this one counted
	Quorum      int                `json:"quorum"`   // so many must agree, the deciding one counted
	Braked      bool               `json:"braked"`   // too many hosts are silent here, so nobody is judged
	AnsweredFor bool               `json:"answered_for"`
	Draining    bool               `json:"draining"`
	HeldUntil   *time.Time         `json:"held_until,omitempty"` // nobody is judged until then, for three evictions were refuted
	Watched     int                `json:"watched"`              // connections
	NotJudged   []NotJudged        `json:"not_judged,omitempty"` // registrations whose hosts may not be judged, by reason
	Total       int                `json:"total"`                // hosts of the list in all
	Hosts       []VanishedHost     `json:"hosts"`
	Decisions   []VanishedDecision `json:"decisions"`
}

// NotJudged is how many registrations there are whose hosts may not be judged for one reason.
type NotJudged struct {
	Reason        string `json:"reason"` // of those in docs/operations.md
	Registrations int    `json:"registrations"`
}

// VanishedHost is the source address of a broker's connection.
type VanishedHost struct {
	Source      string           `json:"source"`
	Heard       time.Time        `json:"heard"` // the newest sign of life, or later
	SilenceMS   float64          `json:"silence_ms"`
	Silent      bool             `json:"silent"`                 // for so long that the other nodes are asked
	Connects    int              `json:"connects"`               // new connections in vain in this silence
	AnsweredNew *time.Time       `json:"answered_new,omitempty"` // when a new connection to it was answered last
	Brokers     []VanishedBroker `json:"brokers"`
}

// VanishedBroker is one registration from that source.
type VanishedBroker struct {
	Cluster    string         `json:"cluster"`
	Broker     string         `json:"broker"`
	ID         int64          `json:"id"`
	Addr       string         `json:"addr"`
	Conn       uint64         `json:"conn"`
	Watched    bool           `json:"watched"`              // its connection is
	Calibrated bool           `json:"calibrated"`           // probes were answered on it
	NotJudged  string         `json:"not_judged,omitempty"` // why its host may not be judged however silent it is
	Says       string         `json:"says"`                 // what this node would say now: "votes" (silent), or why not
	Unanswered int            `json:"unanswered"`           // transmissions in vain in this silence
	OnHold     bool           `json:"on_hold"`              // an eviction of it was refuted
	Evicted    *time.Time     `json:"evicted,omitempty"`    // it was taken out then, or would have been, and has not been heard since
	Words      []VanishedWord `json:"words,omitempty"`      // what each other node said last of it in this silence
}

// VanishedWord is what another node said.
type VanishedWord struct {
	Member     string     `json:"member"`
	Answered   *time.Time `json:"answered,omitempty"` // when that was asked; none: it has not answered
	Unanswered int        `json:"unanswered"`         // questions since then
	Mute       bool       `json:"mute"`               // it cannot speak
	Alive      bool       `json:"alive"`              // it heard the host of late
	Says       string     `json:"says,omitempty"`     // "votes" (silent), or why not
	Heard      *time.Time `json:"heard,omitempty"`    // its newest sign of life, or later
}

// VanishedDecision is what this node decided about a silent host, or what became of that.
type VanishedDecision struct {
	At         time.Time `json:"at"`
	Kind       string    `json:"kind"` // "evicted", "would_evict", "kept", "refuted" (it was heard again), or "restored" (and was put back as it was)
	Cluster    string    `json:"cluster"`
	Broker     string    `json:"broker"`
	ID         int64     `json:"id"`
	Addr       string    `json:"addr"`
	Source     string    `json:"source"`
	Why        string    `json:"why,omitempty"` // it was kept, what refuted, or "heir": its claim went, and another source's keeps it
	By         string    `json:"by,omitempty"`  // the node that is the reason
	SilenceMS  float64   `json:"silence_ms"`    // of the host; when refuted or restored, the time since it was taken out
	Unanswered int       `json:"unanswered,omitempty"`
	Connects   int       `json:"connects,omitempty"`
	Agreed     []string  `json:"agreed,omitempty"` // nodes
	Mute       []string  `json:"mute,omitempty"`   // nodes
	Nodes      int       `json:"nodes,omitempty"`
	Quorum     int       `json:"quorum,omitempty"`
}
