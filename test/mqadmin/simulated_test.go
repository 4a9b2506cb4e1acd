package mqadmin

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
)

// The simulated group: a master and a slave in a cluster of their own, with topics whose names are hard to write.
const (
	simulatedCluster = "SimulatedCluster"
	simulatedBroker  = "broker-s"
)

func simulatedTopics() []string {
	return []string{"simulated", "simulated é", `simulated "quoted" \ /`, "%RETRY%simulated-group", "simulated\u2028line"}
}

// simulated is a broker that answers every request with "not supported", so that tools get an answer at once, the same
// in both worlds.
type simulated struct {
	id   int
	addr string
}

func startSimulated(t *testing.T, id int) simulated {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				refuse(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return simulated{id, l.Addr().String()}
}

// startSimulatedGroup registers a master and a slave in both worlds.
func startSimulatedGroup(t *testing.T, worlds []*world) {
	t.Helper()
	for id := range 2 {
		s := startSimulated(t, id)
		for _, w := range worlds {
			s.register(t, w.nameServer)
		}
	}
}

// refuse answers every request of a connection with code 3.
func refuse(c net.Conn) {
	for {
		request, err := readCommand(c)
		if err != nil {
			return
		}
		if request.Flag&remoting.FlagOneway != 0 {
			continue
		}
		answer := &remoting.Command{Code: 3, Opaque: request.Opaque, Flag: remoting.FlagResponse, Version: 513, Remark: "simulated", HasRemark: true}
		if _, err := c.Write(remoting.AppendRequest(nil, answer)); err != nil {
			return
		}
	}
}

func readCommand(r io.Reader) (*remoting.Command, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < 4 || n > maxFrame {
		return nil, fmt.Errorf("frame of %d bytes", n)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	return remoting.DecodeCommand(frame)
}

// ask sends one request on c and reads the answer.
func ask(c net.Conn, request *remoting.Command) (*remoting.Command, error) {
	if err := c.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := c.Write(remoting.AppendRequest(nil, request)); err != nil {
		return nil, err
	}
	return readCommand(c)
}

// register registers the broker on a connection that stays open until t ends.
func (s simulated) register(t *testing.T, nameServer string) {
	t.Helper()
	c, err := net.Dial("tcp", nameServer)
	if err != nil {
		t.Fatal(err)
	}
	reg := &body.Register{Version: body.DataVersion{Timestamp: 1_700_000_000_000, Counter: 1}}
	for _, name := range simulatedTopics() {
		reg.Topics = append(reg.Topics, body.TopicConfig{Name: []byte(name), ReadQueueNums: 4, WriteQueueNums: 2, Perm: 6})
	}
	answer, err := ask(c, &remoting.Command{
		Code: 103, Version: 513, Opaque: 1, Body: body.AppendRegister(nil, reg),
		Ext: map[string]string{
			"clusterName": simulatedCluster, "brokerName": simulatedBroker, "brokerAddr": s.addr, "brokerId": strconv.Itoa(s.id),
			"haServerAddr": s.addr, "enableActingMaster": "false",
		},
	})
	if err != nil || answer.Code != 0 {
		t.Fatalf("register the simulated broker %d: %v %+v", s.id, err, answer)
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { s.live(t, c, stop) })
	t.Cleanup(func() {
		close(stop)
		running.Wait()
		c.Close()
	})
}

// live sends heartbeats: NameServers close idle connections and forget silent brokers after 120 s.
func (s simulated) live(t *testing.T, c net.Conn, stop <-chan struct{}) {
	ticker := time.NewTicker(20 * time.Second)
	defer ticker.Stop()
	for opaque := int32(2); ; opaque++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		answer, err := ask(c, &remoting.Command{Code: 904, Version: 513, Opaque: opaque, Ext: map[string]string{
			"clusterName": simulatedCluster, "brokerName": simulatedBroker, "brokerAddr": s.addr,
		}})
		if err != nil || answer.Code != 0 {
			t.Errorf("heartbeat of the simulated broker %d: %v %+v", s.id, err, answer)
			return
		}
	}
}
