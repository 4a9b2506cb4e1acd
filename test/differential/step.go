package differential

import (
	"encoding/json"
	"fmt"
	"strings"
)

// place stands for the prefix of a sequence in every name, so that a sequence can be played again under fresh names.
const place = "@@"

// step is one request on one of the sequence's connections, or the end of that connection (Code 0). It is data, so that
// a failing sequence can be shortened, printed and kept.
type step struct {
	Conn    int               `json:"conn"` // connections are opened when first used, also again after their end
	Code    int32             `json:"code,omitempty"`
	Version int32             `json:"version,omitempty"`
	Binary  bool              `json:"binary,omitempty"`
	Oneway  bool              `json:"oneway,omitempty"`
	Ext     map[string]string `json:"ext,omitempty"`
	Reg     *registration     `json:"reg,omitempty"` // builds the body of code 103
	Body    string            `json:"body,omitempty"`
	Head    string            `json:"head,omitempty"` // the JSON header as it is sent, with {opaque} for its number
}

// registration is the body of a REGISTER.
type registration struct {
	Topics     []topic  `json:"topics,omitempty"`
	Version    [3]int64 `json:"version"` // state version, timestamp, counter
	Filters    []string `json:"filters,omitempty"`
	Mappings   []string `json:"mappings,omitempty"` // topics that have a mapping of this broker
	Compressed bool     `json:"compressed,omitempty"`
	Bare       bool     `json:"bare,omitempty"`   // the form of brokers before 3.0.11
	Empty      bool     `json:"empty,omitempty"`  // no body at all
	BadCRC     bool     `json:"badcrc,omitempty"` // and its other end: a sum that does not match
	CRC        bool     `json:"crc,omitempty"`
}

type topic struct {
	Name                       string
	Read, Write, Perm, SysFlag int32
}

func (s step) String() string {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(text)
}

// under is text with the prefix in place.
func under(prefix, text string) string { return strings.ReplaceAll(text, place, prefix) }
