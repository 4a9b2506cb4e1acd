package body

import (
	"math"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting/fastjson"
)

// readMapping reads one TopicQueueMappingInfo; false says that it is null. A null currIdMap is an empty one. Of limit queue
// ids it leaves left, which is negative when the mapping has more: those beyond are not kept.
func readMapping(s *fastjson.Scanner, m *Mapping, limit int) (left int, ok bool) {
	*m = Mapping{Scope: mq.Some("__global__")}
	left = limit
	if !s.Open() {
		return left, false
	}
	for name, ok := s.Name(); ok; name, ok = s.Name() {
		switch string(name) {
		case "bname":
			m.Bname = readOpt(s)
		case "currIdMap":
			m.CurrIDs, left = readIDs(s, limit)
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
	return left, true
}

func readOpt(s *fastjson.Scanner) Opt {
	if b := s.String(); b != nil {
		return mq.Some(string(b))
	}
	return Opt{}
}

// readIDs reads a map of integers to integers; the last one of a key wins, a null value is refused. limit and left are
// readMapping's.
func readIDs(s *fastjson.Scanner, limit int) (ids []QueueID, left int) {
	left = limit
	if !s.Open() {
		return nil, left
	}
	at := map[int32]int{}
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if len(key) == 0 {
			s.Fail("queue id is empty")
			return nil, left
		}
		global, ok := fastjson.ToInteger(key, math.MinInt32, math.MaxInt32)
		if !ok {
			s.Fail("queue id is out of range")
			return nil, left
		}
		local, null := s.Int32()
		if null {
			s.Fail("queue id is null")
			return nil, left
		}
		id := QueueID{Global: int32(global), Local: local}
		if i, known := at[id.Global]; known {
			ids[i] = id
			continue
		}
		if left <= 0 {
			left = -1
			continue
		}
		left--
		at[id.Global] = len(ids)
		ids = append(ids, id)
	}
	return ids, left
}
