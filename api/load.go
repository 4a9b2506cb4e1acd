package api

import "time"

// Load is /v1/load: counts since the start. Two answers make rates.
type Load struct {
	At            time.Time  `json:"at"`
	UpMS          float64    `json:"up_ms"` // since the start
	Ready         bool       `json:"ready"`
	Why           string     `json:"why"`            // ready, or why not
	ReadyAfterMS  float64    `json:"ready_after_ms"` // --ready-after: the time between two registrations that is reckoned with
	LongestGapMS  float64    `json:"longest_gap_ms"` // seen between two REGISTERs of one broker that was registered meanwhile
	Connections   int64      `json:"connections"`    // open now
	Accepted      int64      `json:"accepted"`       // connections since the start
	Brokers       int        `json:"brokers"`        // broker names
	Registrations int        `json:"registrations"`
	Topics        int        `json:"topics"`
	SharedSources int        `json:"shared_sources"` // source addresses from which brokers of several hosts come, as a minute ago at most
	ReceivedBytes int64      `json:"received_bytes"` // below TLS
	SentBytes     int64      `json:"sent_bytes"`     // below TLS
	Overloads     int64      `json:"overloads"`      // requests answered with code 2: too many at once
	GoAways       int64      `json:"go_aways"`       // requests answered with code 1500 while draining
	Requests      []Requests `json:"requests"`       // by code; those that never came are left out
}

// Requests are the requests of one code.
type Requests struct {
	Code  int32  `json:"code"` // -1: all codes that are not counted one by one
	Name  string `json:"name"` // of RocketMQ's RequestCode
	Count uint64 `json:"count"`
	Timed uint64 `json:"timed"` // so many of them: one route query of a connection in 64, nearly all others
	Times []Time `json:"times"` // of those, from the decoded request to its answer handed to the socket
}

// Time is how many requests took less than this, and not less than the entry before.
type Time struct {
	Below float64 `json:"below_us"`
	Count uint64  `json:"count"`
}
