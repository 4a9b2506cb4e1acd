package body

import "errors"

// Presence tells an absent member from an explicit null and from a value.
type Presence byte

// The three ways a member can be there. Absent ones have the default of their Java field.
const (
	Absent Presence = iota
	Null
	Present
)

// TopicConfig is what a NameServer needs of Java's TopicConfig. Name aliases the decoder's input or scratch.
type TopicConfig struct {
	Name           []byte // nil: the entry has no topicName or a null one (contract 2.4)
	Key            []byte // of the entry in topicConfigTable; normally equal to Name
	ReadQueueNums  int32
	WriteQueueNums int32
	Perm           int32
	TopicSysFlag   int32
}

// TopicMapping is one entry of topicQueueMappingInfoMap. Null says that its value is an explicit null.
type TopicMapping struct {
	Topic   string // the key of the map
	Null    bool
	Mapping Mapping
}

// Register is a decoded register body (Java's RegisterBrokerBody).
type Register struct {
	Wrapper         Presence // topicConfigSerializeWrapper; Null is an explicit null
	TopicTable      Presence // topicConfigTable
	Topics          []TopicConfig
	Version         DataVersion
	HasVersion      Presence // dataVersion; unless Present, Version is Java's default: {0, now, 0}
	TimestampAbsent bool     // Version.Timestamp is the now that was passed in
	MappingTable    Presence // topicQueueMappingInfoMap
	Mappings        []TopicMapping
	Filters         Presence // filterServerList; Null leaves the filter-server table untouched
	FilterServers   [][]byte // alias like TopicConfig.Name; a null entry is nil
}

// RegisterDecoder reads register bodies. It is made to be pooled: what Decode returns aliases the decoder and
// the data, and is valid until the next Decode.
type RegisterDecoder struct {
	reg Register
}

// MaxInflated limits the decompressed size of a register body.
const MaxInflated = 64 << 20

// Decode reads the body of a REGISTER_BROKER request whose header says version and compressed. nowMillis is
// the timestamp of a data version that carries none. A zlib stream is recognised even if compressed is false.
// An empty body is an empty registration with an all-zero data version.
func (d *RegisterDecoder) Decode(data []byte, version int32, compressed bool, nowMillis int64) (*Register, error) {
	return nil, errors.New("not yet")
}

// AppendRegister appends reg as a 5.x broker writes it uncompressed.
func AppendRegister(dst []byte, reg *Register) []byte { return dst }

// AppendRegisterWrapper appends the bare wrapper that brokers before 3.0.11 sent.
func AppendRegisterWrapper(dst []byte, reg *Register) []byte { return dst }

// AppendRegisterCompressed appends reg as a broker of that version writes it with compressedRegister=true.
func AppendRegisterCompressed(dst []byte, reg *Register, version int32) ([]byte, error) {
	return dst, nil
}
