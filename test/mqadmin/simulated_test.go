package mqadmin

import (
	"fmt"
	"net"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

func simulatedTopics() []string {
	return []string{"simulated", "simulated é", `simulated "quoted" \ /`, "%RETRY%simulated-group", "simulated\u2028line"}
}

// startSimulatedGroup registers a master and a slave in a cluster of their own in both worlds, with topics whose names are
// hard to write. They answer every request with "not supported", so that tools get an answer at once, the same in both.
func startSimulatedGroup(t *testing.T, worlds []*world) {
	t.Helper()
	for id := range 2 {
		b := kit.NewBroker(t, "broker-s", kit.Listen(t, refuse))
		b.Cluster, b.ID, b.Topics, b.WriteQueues = "SimulatedCluster", id, simulatedTopics(), 2
		for _, w := range worlds {
			b.Register(t, w.nameServer)
		}
		b.Keep(t, b.Heartbeat, worlds[0].nameServer, worlds[1].nameServer)
	}
}

// refuse answers every request of a connection with code 3.
func refuse(c net.Conn) {
	for {
		request, err := kit.ReadFrame(c)
		if err != nil {
			return
		}
		if request.Flag&2 != 0 { // one-way
			continue
		}
		answer := fmt.Sprintf(`{"code":3,"flag":1,"language":"JAVA","opaque":%d,"remark":"simulated","serializeTypeCurrentRPC":"JSON","version":513}`, request.Opaque)
		if _, err := c.Write(kit.JSONFrame(answer)); err != nil {
			return
		}
	}
}
