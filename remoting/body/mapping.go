package body

import (
	"math"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// readMapping reads one TopicQueueMappingInfo; false says that it is null. A null currIdMap is an empty one.
func readMapping(s *fastjson.Scanner, m *Mapping) bool {
	*m = Mapping{Scope: mq.Some("__global__")}
	if !s.Open() {
		return false
	}
	for name, ok := s.Name(); ok; name, ok = s.Name() {
		switch string(name) {
		case "bname":
			m.Bname = readOpt(s)
		case "currIdMap":
			m.CurrIDs = readIDs(s)
		case "dirty":
			m.Dirty, _ = s.Bool()
		case "epoch":
			m.Epoch, _ = s.Int64()
		case "scope":
			m.Scope = readOpt(s)
		case "topic":
			m.Topic = readOpt(s)
		case "totalQueues":
			m.TotalQueues, _ = s.Int32()
		default:
			s.Skip()
		}
	}
	return true
}

func readOpt(s *fastjson.Scanner) Opt {
	if b := s.String(); b != nil {
		return mq.Some(string(b))
	}
	return Opt{}
}

// readIDs reads a map of integers to integers; the last one of a key wins, a null value is refused.
func readIDs(s *fastjson.Scanner) []QueueID {
	if !s.Open() {
		return nil
	}
	var ids []QueueID
	at := map[int32]int{}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if len(key) == 0 {
			s.Fail("queue id is empty")
			return nil
		}
		global, ok := fastjson.ToInteger(key, math.MinInt32, math.MaxInt32)
		if !ok {
			s.Fail("queue id is out of range")
			return nil
		}
		local, null := s.Int32()
		if null {
			s.Fail("queue id is null")
			return nil
		}
		id := QueueID{Global: int32(global), Local: local}
		if i, known := at[id.Global]; known {
			ids[i] = id
			continue
		}
		at[id.Global] = len(ids)
		ids = append(ids, id)
	}
	return ids
}
