// Package mq holds the plain values that the wire, the tables and the comparison of nodes share.
package mq

// Opt is a string that may be absent (Java's null). The zero Opt is absent.
type Opt struct {
	S     string
	Valid bool
}

// Some is a string that is there.
func Some(s string) Opt { return Opt{S: s, Valid: true} }

// DataVersion orders the topic tables of one broker (Java's DataVersion). Timestamp is in milliseconds since 1970.
type DataVersion struct {
	StateVersion int64
	Timestamp    int64
	Counter      int64
}

// SyncMemberPrefix begins the pseudo-topics by which brokers in compatible mode read their member group. Their routes never
// show an acting master (TopicValidator.SYNC_BROKER_MEMBER_GROUP_PREFIX).
const SyncMemberPrefix = "rmq_sys_SYNC_BROKER_MEMBER_"
