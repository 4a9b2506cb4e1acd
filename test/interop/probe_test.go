package interop

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Request codes that the tests send by themselves.
const (
	codeRoute   = 105
	codeCluster = 106
	codeTopics  = 206
	codeMembers = 901
)

// answer is one decoded response frame.
type answer struct {
	Code      int               `json:"code"`
	Remark    string            `json:"remark"`
	ExtFields map[string]string `json:"extFields"`
	Header    string            `json:"-"` // as it came
	Body      string            `json:"-"` // as it came
}

// call sends one request with a JSON header on a connection of its own and reads the answer. It is written against
// the protocol's description, not with our own codec, so that it can find faults of that.
func call(addr string, code int, ext map[string]string) (answer, error) {
	return callVersion(addr, code, 513, ext)
}

func callVersion(addr string, code, version int, ext map[string]string) (answer, error) {
	var a answer
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return a, err
	}
	head, err := json.Marshal(map[string]any{
		"code": code, "language": "JAVA", "version": version, "opaque": 7, "flag": 0, "extFields": ext,
	})
	if err != nil {
		return a, err
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(head)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(head)))
	if _, err := conn.Write(append(frame, head...)); err != nil {
		return a, err
	}
	return readAnswer(conn)
}

func readAnswer(conn io.Reader) (a answer, err error) {
	var lengths [8]byte
	if _, err := io.ReadFull(conn, lengths[:]); err != nil {
		return a, fmt.Errorf("read lengths of the answer: %w", err)
	}
	total := binary.BigEndian.Uint32(lengths[:4])
	head := binary.BigEndian.Uint32(lengths[4:]) & 0xffffff
	if total < 4+head || total > 1<<26 {
		return a, fmt.Errorf("answer of %d bytes with a header of %d", total, head)
	}
	rest := make([]byte, total-4)
	if _, err := io.ReadFull(conn, rest); err != nil {
		return a, fmt.Errorf("read answer: %w", err)
	}
	a.Header, a.Body = string(rest[:head]), string(rest[head:])
	if err := json.Unmarshal(rest[:head], &a); err != nil {
		return a, fmt.Errorf("decode header %s: %w", rest[:head], err)
	}
	return a, nil
}

// route is the part of a topic's route that the tests look at.
type route struct {
	QueueDatas []struct {
		BrokerName     string `json:"brokerName"`
		ReadQueueNums  int    `json:"readQueueNums"`
		WriteQueueNums int    `json:"writeQueueNums"`
		Perm           int    `json:"perm"`
	} `json:"queueDatas"`
	BrokerDatas []struct {
		Cluster     string            `json:"cluster"`
		BrokerName  string            `json:"brokerName"`
		BrokerAddrs map[string]string `json:"brokerAddrs"`
	} `json:"brokerDatas"`
	TopicQueueMappingByBroker map[string]json.RawMessage `json:"topicQueueMappingByBroker"`
}

var errNoRoute = errors.New("no route")

// routeOf asks for a topic in the standard dialect. The error is errNoRoute for code 17.
func routeOf(addr, topic string) (route, error) {
	var r route
	a, err := call(addr, codeRoute, map[string]string{"topic": topic, "acceptStandardJsonOnly": "true"})
	if err != nil {
		return r, err
	}
	if a.Code == 17 {
		return r, errNoRoute
	}
	if a.Code != 0 {
		return r, fmt.Errorf("route of %s: code %d, %s", topic, a.Code, a.Remark)
	}
	if err := json.Unmarshal([]byte(a.Body), &r); err != nil {
		return r, fmt.Errorf("decode route of %s: %w", topic, err)
	}
	return r, nil
}

// addrs is the address table of a broker name in the route, as "id=addr" sorted by id; empty when it is not there.
func (r route) addrs(broker string) []string {
	for _, b := range r.BrokerDatas {
		if b.BrokerName == broker {
			return sortedAddrs(b.BrokerAddrs)
		}
	}
	return nil
}

// perm is the permission of a broker's queues, -1 when the route has none.
func (r route) perm(broker string) int {
	for _, q := range r.QueueDatas {
		if q.BrokerName == broker {
			return q.Perm
		}
	}
	return -1
}

func sortedAddrs(table map[string]string) []string {
	var list []string
	for id, addr := range table {
		list = append(list, id+"="+addr)
	}
	slices.Sort(list)
	return list
}

// bareKey finds the unquoted numeric keys of the default dialect.
var bareKey = regexp.MustCompile(`([{,])(-?\d+):`)

// members is the address table that code 106 shows for a broker name, as "id=addr" sorted by id.
func members(addr, broker string) ([]string, error) {
	a, err := call(addr, codeCluster, nil)
	if err != nil {
		return nil, err
	}
	var body struct {
		BrokerAddrTable map[string]struct {
			BrokerAddrs map[string]string `json:"brokerAddrs"`
		} `json:"brokerAddrTable"`
	}
	if err := json.Unmarshal(bareKey.ReplaceAll([]byte(a.Body), []byte(`$1"$2":`)), &body); err != nil {
		return nil, fmt.Errorf("decode cluster info: %w", err)
	}
	return sortedAddrs(body.BrokerAddrTable[broker].BrokerAddrs), nil
}

// topics is the list of all topics.
func topics(addr string) ([]string, error) {
	a, err := call(addr, codeTopics, nil)
	if err != nil {
		return nil, err
	}
	var body struct {
		TopicList []string `json:"topicList"`
	}
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
		return nil, fmt.Errorf("decode topic list: %w", err)
	}
	slices.Sort(body.TopicList)
	return body.TopicList, nil
}

// hasMembers is nil when the broker name has exactly these "id=addr" entries in code 106.
func hasMembers(addr, broker string, want ...string) func() error {
	return func() error {
		got, err := members(addr, broker)
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("members of %s are %v, want %v", broker, got, want)
		}
		return nil
	}
}

// hasTopic is nil when a topic's route has all of these broker names.
func hasTopic(addr, topic string, brokers ...string) func() error {
	return func() error {
		r, err := routeOf(addr, topic)
		if err != nil {
			return err
		}
		for _, b := range brokers {
			if r.addrs(b) == nil || r.perm(b) < 0 {
				return fmt.Errorf("route of %s has no broker %s", topic, b)
			}
		}
		return nil
	}
}

// lacksTopic is nil when a topic has no route.
func lacksTopic(addr, topic string) error {
	_, err := routeOf(addr, topic)
	if err == nil {
		return fmt.Errorf("%s still has a route", topic)
	}
	if !errors.Is(err, errNoRoute) {
		return err
	}
	return nil
}

// entry is one "id=addr".
func entry(id int, addr string) string { return strconv.Itoa(id) + "=" + addr }
