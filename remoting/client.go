package remoting

import "errors"

// Command is a frame in the comfortable form that clients, tests and tools use: it owns its memory.
type Command struct {
	Type      SerializeType
	Code      int32
	Language  Language
	Version   int32
	Opaque    int32
	Flag      int32
	Remark    string
	HasRemark bool
	Ext       map[string]string // nil when absent
	Body      []byte
}

// AppendRequest appends the complete frame of c (a response, if its flag says so), and returns the longer dst.
func AppendRequest(dst []byte, c *Command) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	if c.Type == RocketMQ {
		dst = appendBinaryCommand(dst, c)
	} else {
		dst = appendJSONCommand(dst, c)
	}
	return append(finishFrame(dst, start, c.Type, len(c.Body)), c.Body...)
}

// DecodeCommand reads a frame, given without its 4-byte length, into memory of its own.
func DecodeCommand(frame []byte) (*Command, error) {
	return nil, errors.New("not yet")
}
