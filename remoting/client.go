package remoting

import (
	"bytes"
	"maps"
	"slices"
)

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
	var r Request
	if err := Decode(bytes.Clone(frame), &r); err != nil {
		return nil, err
	}
	c := &Command{Type: r.Type, Code: r.Code, Language: r.Language, Version: r.Version, Opaque: r.Opaque,
		Flag: r.Flag, Remark: string(r.Remark), HasRemark: r.Remark != nil, Body: r.Body}
	if r.HasExt {
		c.Ext = make(map[string]string, len(r.Ext))
		for _, f := range r.Ext {
			if f.Value == nil {
				delete(c.Ext, string(f.Key))
			} else {
				c.Ext[string(f.Key)] = string(f.Value)
			}
		}
	}
	return c, nil
}

func (c *Command) sortedKeys() []string { return slices.Sorted(maps.Keys(c.Ext)) }
