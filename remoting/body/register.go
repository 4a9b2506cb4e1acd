package body

import (
	"fmt"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// Presence tells an absent member from an explicit null and from a value.
type Presence byte

// The three ways a member can be there. Absent ones have the default of their Java field.
const (
	Absent Presence = iota
	Null
	Present
)

// TopicConfig is what a NameServer needs of Java's TopicConfig. Name and Key alias the decoder's input or its
// scratch space.
type TopicConfig struct {
	Name           []byte // nil: the entry has no topicName or a null one
	Key            []byte // of the entry in topicConfigTable; normally equal to Name
	ReadQueueNums  int32
	WriteQueueNums int32
	Perm           int32
	TopicSysFlag   int32
}

// TopicMapping is one entry of topicQueueMappingInfoMap.
type TopicMapping struct {
	Topic   string // the key of the map
	Mapping Mapping
}

// Limits of one registration. What is beyond them is left out, and the rest counts.
const (
	MaxTopics  = 100_000 // topics; mappings likewise; and queue ids of all mappings together
	MaxName    = 1024    // bytes of the name of a topic, and of each text of a mapping
	MaxFilters = 1024    // filter servers
	maxText    = 1 << 20 // bytes of one text of a compressed body
	maxNames   = 8 << 20 // bytes of all names of a compressed body, and of all texts of mappings
)

// Register is a decoded register body (Java's RegisterBrokerBody). No two Topics have one Key, as in Java's
// map: the last one of the body won.
type Register struct {
	Wrapper         Presence // topicConfigSerializeWrapper
	TopicTable      Presence // topicConfigTable
	Topics          []TopicConfig
	Version         DataVersion
	HasVersion      Presence // dataVersion; unless Present, Version is Java's default: {0, now, 0}
	TimestampAbsent bool     // Version.Timestamp is the now that was passed in
	MappingTable    Presence // topicQueueMappingInfoMap
	Mappings        []TopicMapping
	Filters         Presence // filterServerList; Null leaves the filter-server table untouched
	FilterServers   [][]byte // alias like TopicConfig.Name; a null entry is nil
	Empty           bool     // there was no body at all: Version is all zeros
	LeftOut         int      // topics, mappings and filter servers of the body that are beyond the limits
}

// RegisterDecoder reads register bodies. It is made to be pooled: what Decode returns aliases the decoder and
// the data, and is valid until the next Decode. The zero value is ready.
type RegisterDecoder struct {
	MaxInflated int    // limit of the decompressed size, in bytes; 0 is the constant MaxInflated
	Yield       func() // called now and then while a large topic table is read, so that others get a turn; may be nil

	// Hold is told now and then, before more is taken, how many bytes the registration holds, with what a table of its topics that is as
	// large would; false ends it with ErrMemory. Of up to 256 topics nothing is told. May be nil.
	Hold func(bytes int64) bool

	s        fastjson.Scanner
	reg      Register
	scratch  []byte
	inflate  inflater
	index    keyIndex
	beyond   TopicConfig // a topic that is left out is read into it
	queueIDs int         // how many more the mappings may have
	texts    int         // likewise, bytes
	cut      int         // topics and mappings left out
	refused  bool        // by Hold
	defaults DataVersion
}

// Decode reads the body of a REGISTER_BROKER request whose header says version and compressed. nowMillis is
// the timestamp of a data version that carries none. A zlib stream is recognised even if compressed is false.
// An empty body is an empty registration with an all-zero data version. An error means response code 1.
func (d *RegisterDecoder) Decode(data []byte, version int32, compressed bool, nowMillis int64) (*Register, error) {
	d.defaults = DataVersion{Timestamp: nowMillis}
	d.trim()
	d.queueIDs, d.texts, d.cut, d.refused = MaxTopics, maxNames, 0, false
	reg := &d.reg
	*reg = Register{Topics: reg.Topics[:0], Mappings: reg.Mappings[:0], FilterServers: reg.FilterServers[:0],
		Version: d.defaults, TimestampAbsent: true}
	var err error
	switch {
	case len(data) == 0:
		reg.Version, reg.TimestampAbsent, reg.Empty = DataVersion{}, false, true
		if version < mq.V3_0_11 {
			reg.Filters = Null
		}
	case version < mq.V3_0_11:
		reg.Filters = Null
		err = d.decodeJSON(data, d.bareWrapper)
	case compressed || IsZlib(data):
		err = d.decodeCompressed(data, version >= mq.V5_0_0)
	default:
		err = d.decodeJSON(data, d.body)
	}
	if d.refused {
		return nil, ErrMemory
	}
	if err != nil {
		return nil, fmt.Errorf("decode register body: %w", err)
	}
	reg.LeftOut += d.cut
	return reg, nil
}

// IsZlib recognises the two header bytes of a zlib stream with deflate and a window of 32 KB.
func IsZlib(data []byte) bool {
	return len(data) > 2 && data[0] == 0x78 && (int(data[0])<<8|int(data[1]))%31 == 0
}

func (d *RegisterDecoder) decodeJSON(data []byte, read func()) error {
	d.scratch = d.scratch[:0]
	d.s.Reset(data, d.scratch)
	read()
	d.scratch = d.s.Scratch()
	return d.s.End()
}

func (d *RegisterDecoder) bareWrapper() {
	if !d.wrapper() && d.s.Err() == nil {
		d.s.Fail("wrapper is null")
	}
}

func (d *RegisterDecoder) body() {
	if !d.s.Open() {
		d.s.Fail("register body is null")
		return
	}
	for name, ok := d.s.Name(); ok; name, ok = d.s.Name() {
		switch string(name) {
		case "filterServerList":
			d.filters()
		case "topicConfigSerializeWrapper":
			d.wrapper()
		default:
			d.s.Skip()
		}
	}
}

// filters reads a list of strings; a string alone counts as a list of it.
func (d *RegisterDecoder) filters() {
	reg := &d.reg
	reg.FilterServers, reg.Filters, reg.LeftOut = reg.FilterServers[:0], Present, 0
	if text, ok := d.s.Quoted(); ok {
		if len(text) > 0 {
			reg.FilterServers = append(reg.FilterServers, text)
		}
		return
	}
	if !d.s.OpenArray() {
		reg.Filters = Null
		return
	}
	for d.s.Element() {
		if server := d.s.String(); len(reg.FilterServers) < MaxFilters {
			reg.FilterServers = append(reg.FilterServers, server)
		} else {
			reg.LeftOut++
		}
	}
}

// wrapper reads a TopicConfigAndMappingSerializeWrapper; false says that it is null. A later one of the same
// name starts from the defaults.
func (d *RegisterDecoder) wrapper() bool {
	s, reg := &d.s, &d.reg
	reg.Wrapper, reg.TopicTable, reg.HasVersion, reg.MappingTable = Null, Absent, Absent, Absent
	reg.Topics, reg.Mappings, d.cut = reg.Topics[:0], reg.Mappings[:0], 0
	reg.Version, reg.TimestampAbsent = d.defaults, true
	if !s.Open() {
		return false
	}
	reg.Wrapper = Present
	for name, ok := s.Name(); ok; name, ok = s.Name() {
		switch string(name) {
		case "topicConfigTable":
			d.topicTable()
		case "dataVersion":
			d.dataVersion()
		case "topicQueueMappingInfoMap":
			d.mappings()
		case "mappingDataVersion", "topicQueueMappingDetailMap":
			s.SkipMap()
		default:
			s.Skip()
		}
	}
	return true
}

func (d *RegisterDecoder) dataVersion() {
	reg := &d.reg
	reg.Version, reg.TimestampAbsent, reg.HasVersion = d.defaults, true, Null
	if d.s.Open() {
		reg.HasVersion = Present
		reg.TimestampAbsent = !readDataVersion(&d.s, &reg.Version)
	}
}

// readDataVersion reads the members of a data version over v's; it says whether there was a timestamp.
func readDataVersion(s *fastjson.Scanner, v *DataVersion) (timestamp bool) {
	for name, ok := s.Name(); ok; name, ok = s.Name() {
		switch string(name) {
		case "counter":
			v.Counter, _ = s.Int64()
		case "stateVersion":
			v.StateVersion, _ = s.Int64()
		case "timestamp":
			v.Timestamp, _ = s.Int64()
			timestamp = true
		case "$ref":
			s.Fail("a reference cannot stand for a data version")
		default:
			s.Skip()
		}
	}
	return timestamp
}

func (d *RegisterDecoder) mappings() {
	s, reg := &d.s, &d.reg
	reg.Mappings, reg.MappingTable = reg.Mappings[:0], Null
	if !s.Open() {
		return
	}
	reg.MappingTable = Present
	read := 0
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if read++; !d.goOn(read) {
			return
		}
		entry := TopicMapping{}
		left, ok := readMapping(s, &entry.Mapping, d.queueIDs)
		if !ok {
			s.Fail("mapping is null")
		}
		entry.Topic = string(key)
		d.addMapping(entry, left)
	}
}

// addMapping takes a mapping that is within the limits; left is how many queue ids the others may have, negative when this
// one has too many.
func (d *RegisterDecoder) addMapping(m TopicMapping, left int) {
	texts := len(m.Topic) + len(m.Mapping.Topic.S) + len(m.Mapping.Scope.S) + len(m.Mapping.Bname.S)
	if left < 0 || len(d.reg.Mappings) == MaxTopics || texts > d.texts ||
		max(len(m.Topic), len(m.Mapping.Topic.S), len(m.Mapping.Scope.S), len(m.Mapping.Bname.S)) > MaxName {
		d.cut++
		return
	}
	d.queueIDs, d.texts = left, d.texts-texts
	d.reg.Mappings = append(d.reg.Mappings, m)
}

// trim gives back the memory of an unusually large body.
func (d *RegisterDecoder) trim() {
	const keepTopics, keepBytes = 1 << 16, 4 << 20
	if cap(d.reg.Topics) > keepTopics {
		d.reg.Topics = nil
	}
	if cap(d.scratch) > keepBytes {
		d.scratch = nil
	}
	if cap(d.index.slots) > 4*keepTopics {
		d.index.slots = nil
	}
	d.inflate.trim()
}
