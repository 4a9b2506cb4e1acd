package body

import "errors"

// DecodeDataVersion reads the body of code 322. ok is false for an absent body or a null. A missing timestamp
// is nowMillis, other missing members are 0.
func DecodeDataVersion(data []byte, nowMillis int64) (v DataVersion, ok bool, err error) {
	return v, false, errors.New("not yet")
}

// DecodeTopicRoute reads a topic route in either dialect: the body of code 217 and of answers to 105.
// Missing numbers are 0.
func DecodeTopicRoute(data []byte) (*TopicRoute, error) { return nil, errors.New("not yet") }

// DecodeClusterInfo reads the answer to code 106.
func DecodeClusterInfo(data []byte) (*ClusterInfo, error) { return nil, errors.New("not yet") }

// DecodeMemberGroup reads the answer to code 901.
func DecodeMemberGroup(data []byte) (*MemberGroup, error) { return nil, errors.New("not yet") }

// DecodeTopicList reads a topic list answer.
func DecodeTopicList(data []byte) (*TopicList, error) { return nil, errors.New("not yet") }

// DecodeKVTable reads a KV table answer.
func DecodeKVTable(data []byte) ([]KV, error) { return nil, errors.New("not yet") }
