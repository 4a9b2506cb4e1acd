package mqadmin

import (
	"regexp"
	"time"
)

// How much of a command's text is determined.
type text int

const (
	exact    text = iota // all of it, but for ids and points in time
	anyOrder             // the same, but for the order of its lines, which is that of a hash map
	figures              // all but its numbers and the order of its lines
	free                 // nothing: what is said on the wire is compared alone
)

// command is one mqadmin command and what is expected of it. In args, {broker}, {controller}, {dir} and the names of
// captures stand for what they are in a world. "-n" and the NameServer are added.
type command struct {
	args    string
	codes   []int // that it must have sent to the NameServer (docs/spec/nameserver.md#mqadmin)
	text    text
	limit   time.Duration             // it never ends by itself and is interrupted after this
	settles bool                      // what it shows follows the commands before in its own time: asked again while the worlds differ
	capture map[string]*regexp.Regexp // keeps the first group of what it prints under a name, for later commands
}

// codes is a list of request codes.
func codes(list ...int) []int { return list }

const cluster = " -c DefaultCluster"

// registerSimulated is no command: from here on the simulated brokers are there. Before it stand those that want an answer
// of every broker of every cluster, to which the simulated ones would put an early end.
const registerSimulated = "!simulated"

var (
	messageID = regexp.MustCompile(`SEND_OK\s+([0-9A-F]{32,64})`)
	offsetID  = regexp.MustCompile(`OffsetID:\s+([0-9A-F]{32})\b`)
)

// commands are all commands that ask a NameServer, in an order in which later ones find what earlier ones made.
func commands() []command {
	var all []command
	for _, part := range [][]command{
		wholeCommands(), {{args: registerSimulated}}, topicCommands(), messageCommands(), consumerCommands(), brokerCommands(), accessCommands(), nameServerCommands(), leavingCommands(),
	} {
		all = append(all, part...)
	}
	return all
}

func wholeCommands() []command {
	return []command{
		{args: "updateTopic -t alpha -r 4 -w 4" + cluster, codes: codes(106)},
		{args: "updateSubGroup -g group1" + cluster, codes: codes(106)},
		{args: "getConsumerConfig -g group1", codes: codes(106)},
		{args: "exportMetadata -f {dir}" + cluster, codes: codes(106)},
		{args: "exportMetrics -f {dir}" + cluster, codes: codes(106, 105), text: figures},
		{args: "updateStaticTopic -t static -qn 4" + cluster, codes: codes(106)},
		{args: "topicRoute -t static", codes: codes(105)},
		{args: "remappingStaticTopic -t static" + cluster, codes: codes(106)},
		{args: "rocksDBConfigToJson -t topics" + cluster, codes: codes(106), text: figures},
		{args: "checkRocksdbCqWriteProgress" + cluster, codes: codes(106), text: figures},
	}
}

func topicCommands() []command {
	return []command{
		{args: "updateTopic -t beta -r 2 -w 3 -b {broker}"},
		{args: "updateTopic -t ordered -r 2 -w 2 -o true" + cluster, codes: codes(106, 100)},
		{args: "updateTopic -t ordered2 -r 2 -w 2 -o true -b {broker}", codes: codes(101, 100)},
		{args: "updateTopic -t nowhere -c NoCluster", codes: codes(106)},
		{args: "updateTopicList -f {dir}/topics.json" + cluster, codes: codes(106)},
		{args: "updateSubGroup -g group2" + cluster, codes: codes(106)},
		{args: "updateSubGroupList -f {dir}/groups.json" + cluster, codes: codes(106)},
		{args: "setConsumeMode -t beta -g group2 -m POP -q 8" + cluster, codes: codes(106)},
		{args: "updateTopicPerm -t beta -p 4" + cluster, codes: codes(105, 106)},
		{args: "updateTopicPerm -t beta -p 6 -b {broker}", codes: codes(105)},
		{args: "updateTopicPerm -t unknown -p 6" + cluster, codes: codes(105)},
		{args: "topicRoute -t alpha", codes: codes(105)},
		{args: "topicRoute -t ordered", codes: codes(105)},
		{args: "topicRoute -t alpha -l", codes: codes(105)},
		{args: "topicRoute -t unknown", codes: codes(105)},
		{args: "topicRoute -t simulated", codes: codes(105)},
		{args: "topicRoute -t simulated\u00a0é", codes: codes(105)}, // no-break space: not the topic's, so unknown
		{args: "topicStatus -t alpha", codes: codes(105)},
		{args: "topicClusterList -t alpha", codes: codes(105, 106)},
		{args: "topicClusterList -t simulated", codes: codes(105, 106)},
		{args: "topicList", codes: codes(206), text: anyOrder},
		{args: "topicList -c", codes: codes(206, 106, 105), text: anyOrder},
		{args: "allocateMQ -t alpha -i 10.0.0.1,10.0.0.2", codes: codes(105)},
	}
}

func messageCommands() []command {
	return []command{
		{args: "sendMessage -t alpha -p text -k key1 -c tagA -b broker-a -i 1", codes: codes(105), capture: map[string]*regexp.Regexp{"{message}": messageID}},
		{args: "sendMessage -t unknown-broker -p text -b nobody -i 1", codes: codes()},
		{args: "sendMsgStatus -b broker-a -s 16 -c 2", codes: codes(105), text: figures},
		{args: "checkMsgSendRT -t alpha -a 3 -s 16", codes: codes(105), text: figures},
		{args: "clusterRT -a 2 -s 16 -i 60" + cluster, codes: codes(106, 105), text: figures, limit: 2 * time.Second},
		{args: "queryMsgByUniqueKey -t alpha -i {message}", codes: codes(105), text: figures},
		{args: "queryMsgByKey -t alpha -k key1", codes: codes(105), text: figures},
		{args: "queryMsgByOffset -t alpha -b broker-a -i 1 -o 0", codes: codes(105), text: figures, capture: map[string]*regexp.Regexp{"{offset}": offsetID}},
		{args: "queryMsgById -t alpha -i {offset}", codes: codes(105), text: figures},
		{args: "queryMsgTraceById -i {message}", codes: codes(105), text: figures},
		{args: "printMsg -t alpha", codes: codes(105), text: figures},
		{args: "printMsgByQueue -t alpha -a broker-a -i 1 -p true -d true", codes: codes(105), text: figures},
		{args: "consumeMessage -t alpha -b broker-a -i 1 -o 0 -c 1", codes: codes(105), text: figures},
		{args: "queryCq -t alpha -q 1 -i 0 -c 1 -b {broker}", text: figures},
		{args: "queryCq -t alpha -q 1 -i 0 -c 1", codes: codes(105), text: figures},
		{args: "statsAll", codes: codes(206, 105), text: figures},
		{args: "statsAll -t alpha", codes: codes(206, 105), text: figures},
	}
}

func consumerCommands() []command {
	return []command{
		{args: "consumerProgress", codes: codes(206, 105), text: figures, settles: true},
		{args: "consumerProgress -g group2", codes: codes(105)},
		{args: "producerConnection -g nobody -t alpha", codes: codes(105), text: figures},
		{args: "consumerConnection -g nobody", codes: codes(105), text: figures},
		{args: "cloneGroupOffset -s group1 -d group2 -t alpha", codes: codes(105), text: figures},
		{args: "resetOffsetByTime -g group2 -t alpha -s -1", codes: codes(105), text: figures},
		{args: "skipAccumulatedMessage -g group2 -t alpha", codes: codes(105), text: figures},
		{args: "!online {nameserver} alpha group1"},
		{args: "consumerProgress -g group1", codes: codes(105), text: free, settles: true}, // has lines once the consumer has stored its offsets
		{args: "consumerConnection -g group1", codes: codes(105), text: figures},
		{args: "producerConnection -g group1-producers -t alpha", codes: codes(105), text: figures},
		{args: "consumerStatus -g group1", codes: codes(105), text: figures},
		{args: "resetOffsetByTime -g group1 -t alpha -s -1", codes: codes(105), text: figures},
		{args: "skipAccumulatedMessage -g group1 -t alpha", codes: codes(105), text: figures},
		{args: "getConsumerConfig -g group1", codes: codes(106)},
	}
}

func brokerCommands() []command {
	return []command{
		{args: "clusterList", codes: codes(106), text: figures},
		{args: "clusterList -m", codes: codes(106), text: figures},
		{args: "clusterList -c NoCluster", codes: codes(106)},
		{args: "brokerStatus" + cluster, codes: codes(106), text: free}, // units change with the figures
		{args: "brokerStatus -c SimulatedCluster", codes: codes(106), text: figures},
		{args: "haStatus" + cluster, codes: codes(106), text: figures},
		{args: "getSyncStateSet -a {controller}" + cluster, codes: codes(106), text: figures},
		{args: "getBrokerEpoch" + cluster, codes: codes(106), text: figures},
		{args: "getBrokerConfig" + cluster, codes: codes(106), text: figures},
		{args: "getBrokerConfig -c SimulatedCluster", codes: codes(106), text: figures},
		{args: "updateBrokerConfig -k flushDelayOffsetInterval -v 9000" + cluster, codes: codes(106)},
		{args: "cleanExpiredCQ" + cluster, codes: codes(106)},
		{args: "cleanUnusedTopic" + cluster, codes: codes(106)},
		{args: "deleteExpiredCommitLog" + cluster, codes: codes(106)},
		{args: "exportConfigs -f {dir}" + cluster, codes: codes(106)},
		{args: "exportPopRecord -d true" + cluster, codes: codes(106), text: figures},
		{args: "setCommitLogReadAheadMode -m 0" + cluster, codes: codes(106), text: figures},
		{args: "getColdDataFlowCtrInfo" + cluster, codes: codes(106), text: figures},
		{args: "updateColdDataFlowCtrGroupConfig -g group1 -v 1024" + cluster, codes: codes(106), text: figures},
		{args: "removeColdDataFlowCtrGroupConfig -g group1" + cluster, codes: codes(106), text: figures},
		{args: "switchTimerEngine -e F" + cluster, codes: codes(106), text: figures},
		{args: "getBrokerLiteInfo" + cluster, codes: codes(106), text: figures},
		{args: "getParentTopicInfo -p alpha", codes: codes(105), text: figures},
		{args: "getLiteTopicInfo -p alpha -l lite", codes: codes(105), text: figures},
		{args: "getLiteClientInfo -p alpha -g group1 -c client", codes: codes(105), text: figures},
		{args: "getLiteGroupInfo -p alpha -g group1", codes: codes(105), text: figures},
		{args: "triggerLiteDispatch -p alpha -g group1", codes: codes(105), text: figures},
	}
}

func accessCommands() []command {
	return []command{
		{args: "createUser -u user1 -p secret1" + cluster, codes: codes(106)},
		{args: "updateUser -u user1 -p secret2" + cluster, codes: codes(106)},
		{args: "getUser -u user1" + cluster, codes: codes(106)},
		{args: "listUser" + cluster, codes: codes(106)},
		{args: "createAcl -s User:user1 -r Topic:alpha -a Pub -d Allow" + cluster, codes: codes(106)},
		{args: "updateAcl -s User:user1 -r Topic:alpha -a Sub -d Allow" + cluster, codes: codes(106)},
		{args: "getAcl -s User:user1" + cluster, codes: codes(106)},
		{args: "listAcl" + cluster, codes: codes(106)},
		{args: "deleteAcl -s User:user1" + cluster, codes: codes(106)},
		{args: "deleteUser -u user1" + cluster, codes: codes(106)},
	}
}

func nameServerCommands() []command {
	return []command{
		{args: "updateOrderConf -t ordered -m get", codes: codes(101)},
		{args: "updateOrderConf -t alpha -m get", codes: codes(101)},
		{args: "updateOrderConf -t alpha -m put -v broker-a:4", codes: codes(100)},
		{args: "updateOrderConf -t alpha -m get", codes: codes(101)},
		{args: "updateOrderConf -t alpha -m delete", codes: codes(102)},
		{args: "updateKvConfig -s space -k key -v välue/\"1\"", codes: codes(100)},
		{args: "updateKvConfig -s space -k key -v other", codes: codes(100)},
		{args: "deleteKvConfig -s space -k key", codes: codes(102)},
		{args: "deleteKvConfig -s no-space -k no-key", codes: codes(102)},
		{args: "wipeWritePerm -b broker-a", codes: codes(205)},
		{args: "topicRoute -t alpha", codes: codes(105)},
		{args: "wipeWritePerm -b broker-s", codes: codes(205)},
		{args: "topicRoute -t simulated", codes: codes(105)},
		{args: "wipeWritePerm -b nobody", codes: codes(205)},
		{args: "addWritePerm -b broker-a", codes: codes(327)},
		{args: "addWritePerm -b broker-s", codes: codes(327)},
		{args: "topicRoute -t alpha", codes: codes(105)},
		{args: "addWritePerm -b nobody", codes: codes(327)},
		{args: "getNamesrvConfig", codes: codes(319), text: anyOrder},
		{args: "updateNamesrvConfig -k orderMessageEnable -v true", codes: codes(318)},
		{args: "updateNamesrvConfig -k kvConfigPath -v /nowhere", codes: codes(318)},
		{args: "updateNamesrvConfig -k supportActingMaster -v maybe", codes: codes(318)},
		{args: "getNamesrvConfig", codes: codes(319), text: anyOrder},
		{args: "topicRoute -t ordered", codes: codes(105)},
	}
}

func leavingCommands() []command {
	return []command{
		{args: "deleteTopic -t beta" + cluster, codes: codes(106, 216)},
		{args: "deleteTopic -t beta" + cluster, codes: codes(106, 216)},
		{args: "deleteTopic -t alpha -c NoCluster", codes: codes(106)},
		{args: "topicRoute -t beta", codes: codes(105)},
		{args: "deleteSubGroup -g group2 -r true" + cluster, codes: codes(106, 216, 102)},
		{args: "topicList", codes: codes(206), text: anyOrder},
		// It stays in the JVM and asks for the first time after 20 seconds; the test waits for that.
		{args: "startMonitoring"},
	}
}

// silent are the commands that send nothing to a NameServer: they talk to brokers, controllers or files alone.
func silent() []string {
	return []string{
		"addBroker", "removeBroker", "resetMasterFlushOffset", "brokerConsumeStats", "producer", "copyUser", "copyAcl", "electMaster",
		"cleanBrokerMetadata", "getControllerConfig", "updateControllerConfig", "getControllerMetaData", "dumpCompactionLog", "exportMetadataInRocksDB",
	}
}
