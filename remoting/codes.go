package remoting

import "strconv"

// Request codes (Java's RequestCode) that a NameServer serves, and 905, which it sends.
const (
	PutKVConfig               int32 = 100
	GetKVConfig               int32 = 101
	DeleteKVConfig            int32 = 102
	RegisterBroker            int32 = 103
	UnregisterBroker          int32 = 104
	GetRouteInfoByTopic       int32 = 105
	GetBrokerClusterInfo      int32 = 106
	WipeWritePermOfBroker     int32 = 205
	GetAllTopicList           int32 = 206
	DeleteTopicInNamesrv      int32 = 216
	RegisterTopicInNamesrv    int32 = 217
	GetKVListByNamespace      int32 = 219
	GetTopicsByCluster        int32 = 224
	GetSystemTopicList        int32 = 304
	GetUnitTopicList          int32 = 311
	GetHasUnitSubTopicList    int32 = 312
	GetHasUnitSubUnunitTopics int32 = 313
	UpdateNamesrvConfig       int32 = 318
	GetNamesrvConfig          int32 = 319
	QueryDataVersion          int32 = 322
	AddWritePermOfBroker      int32 = 327
	GetBrokerMemberGroup      int32 = 901
	BrokerHeartbeat           int32 = 904
	NotifyMinBrokerIDChange   int32 = 905
)

// Response codes (Java's ResponseCode and RemotingSysResponseCode).
const (
	Success                 int32 = 0
	SystemError             int32 = 1
	SystemBusy              int32 = 2
	RequestCodeNotSupported int32 = 3
	NoPermission            int32 = 16
	TopicNotExist           int32 = 17
	QueryNotFound           int32 = 22
	GoAway                  int32 = 1500
)

// CodeName is the RequestCode name of a code for logs and tables, or its number.
func CodeName(code int32) string {
	switch code {
	case PutKVConfig:
		return "PUT_KV_CONFIG"
	case GetKVConfig:
		return "GET_KV_CONFIG"
	case DeleteKVConfig:
		return "DELETE_KV_CONFIG"
	case RegisterBroker:
		return "REGISTER_BROKER"
	case UnregisterBroker:
		return "UNREGISTER_BROKER"
	case GetRouteInfoByTopic:
		return "GET_ROUTEINFO_BY_TOPIC"
	case GetBrokerClusterInfo:
		return "GET_BROKER_CLUSTER_INFO"
	case WipeWritePermOfBroker:
		return "WIPE_WRITE_PERM_OF_BROKER"
	case GetAllTopicList:
		return "GET_ALL_TOPIC_LIST_FROM_NAMESERVER"
	case DeleteTopicInNamesrv:
		return "DELETE_TOPIC_IN_NAMESRV"
	case RegisterTopicInNamesrv:
		return "REGISTER_TOPIC_IN_NAMESRV"
	case GetKVListByNamespace:
		return "GET_KVLIST_BY_NAMESPACE"
	}
	return codeNameHigh(code)
}

func codeNameHigh(code int32) string {
	switch code {
	case GetTopicsByCluster:
		return "GET_TOPICS_BY_CLUSTER"
	case GetSystemTopicList:
		return "GET_SYSTEM_TOPIC_LIST_FROM_NS"
	case GetUnitTopicList:
		return "GET_UNIT_TOPIC_LIST"
	case GetHasUnitSubTopicList:
		return "GET_HAS_UNIT_SUB_TOPIC_LIST"
	case GetHasUnitSubUnunitTopics:
		return "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST"
	case UpdateNamesrvConfig:
		return "UPDATE_NAMESRV_CONFIG"
	case GetNamesrvConfig:
		return "GET_NAMESRV_CONFIG"
	case QueryDataVersion:
		return "QUERY_DATA_VERSION"
	case AddWritePermOfBroker:
		return "ADD_WRITE_PERM_OF_BROKER"
	case GetBrokerMemberGroup:
		return "GET_BROKER_MEMBER_GROUP"
	case BrokerHeartbeat:
		return "BROKER_HEARTBEAT"
	case NotifyMinBrokerIDChange:
		return "NOTIFY_MIN_BROKER_ID_CHANGE"
	}
	return strconv.Itoa(int(code))
}
