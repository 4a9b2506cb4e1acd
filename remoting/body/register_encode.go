package body

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// AppendRegister appends reg as a 5.5.0 broker writes it uncompressed, with the mapping data version of a broker
// without static topics. It is for simulated brokers.
func AppendRegister(dst []byte, reg *Register) []byte {
	dst = append(dst, `{"filterServerList":`...)
	dst = appendFilters(dst, reg.FilterServers)
	dst = append(dst, `,"topicConfigSerializeWrapper":`...)
	dst = appendWrapper(dst, reg, true)
	return append(dst, '}')
}

// AppendRegisterWrapper appends the bare wrapper that brokers before 3.0.11 sent.
func AppendRegisterWrapper(dst []byte, reg *Register) []byte { return appendWrapper(dst, reg, false) }

func appendFilters(dst []byte, servers [][]byte) []byte {
	dst = append(dst, '[')
	for i, server := range servers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = fastjson.AppendString(dst, server)
	}
	return append(dst, ']')
}

func appendWrapper(dst []byte, reg *Register, mappings bool) []byte {
	dst = AppendDataVersion(append(dst, `{"dataVersion":`...), reg.Version)
	if mappings {
		dst = AppendDataVersion(append(dst, `,"mappingDataVersion":`...), DataVersion{Timestamp: reg.Version.Timestamp})
	}
	dst = append(dst, `,"topicConfigTable":{`...)
	for i := range reg.Topics {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTopicConfig(dst, &reg.Topics[i])
	}
	dst = append(dst, '}')
	if !mappings {
		return append(dst, '}')
	}
	dst = append(dst, `,"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{`...)
	for i := range reg.Mappings {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(fastjson.AppendString(dst, reg.Mappings[i].Topic), ':')
		dst = appendMapping(dst, &reg.Mappings[i].Mapping, Default)
	}
	return append(dst, "}}"...)
}

func appendTopicConfig(dst []byte, t *TopicConfig) []byte {
	key := t.Key
	if key == nil {
		key = t.Name
	}
	dst = fastjson.AppendString(dst, key)
	dst = append(dst, `:{"attributes":{},"order":false,"perm":`...)
	dst = strconv.AppendInt(dst, int64(t.Perm), 10)
	dst = append(dst, `,"readQueueNums":`...)
	dst = strconv.AppendInt(dst, int64(t.ReadQueueNums), 10)
	dst = append(dst, `,"topicFilterType":"SINGLE_TAG"`...)
	if t.Name != nil {
		dst = fastjson.AppendString(append(dst, `,"topicName":`...), t.Name)
	}
	dst = append(dst, `,"topicSysFlag":`...)
	dst = strconv.AppendInt(dst, int64(t.TopicSysFlag), 10)
	dst = append(dst, `,"writeQueueNums":`...)
	return append(strconv.AppendInt(dst, int64(t.WriteQueueNums), 10), '}')
}

// AppendRegisterCompressed appends reg as a broker of that version writes it with compressedRegister=true. It
// carries no topicSysFlag, and mappings only from 5.0.0 on.
func AppendRegisterCompressed(dst []byte, reg *Register, version int32) ([]byte, error) {
	var plain []byte
	plain = appendBlock(plain, AppendDataVersion(nil, reg.Version))
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(reg.Topics)))
	for _, t := range reg.Topics {
		plain = appendBlock(plain, fmt.Appendf(nil, "%s %d %d %d SINGLE_TAG {}", t.Name, t.ReadQueueNums,
			t.WriteQueueNums, t.Perm))
	}
	plain = appendBlock(plain, appendFilters(nil, reg.FilterServers))
	if version >= mq.V5_0_0 {
		plain = binary.BigEndian.AppendUint32(plain, uint32(len(reg.Mappings)))
		for i := range reg.Mappings {
			plain = appendBlock(plain, appendMapping(nil, &reg.Mappings[i].Mapping, Default))
		}
	}
	out := bytes.NewBuffer(dst)
	w, err := zlib.NewWriterLevel(out, zlib.BestCompression)
	if err != nil {
		return dst, fmt.Errorf("compress register body: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return dst, fmt.Errorf("compress register body: %w", err)
	}
	if err := w.Close(); err != nil {
		return dst, fmt.Errorf("compress register body: %w", err)
	}
	return out.Bytes(), nil
}

func appendBlock(dst, block []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(block))), block...)
}
