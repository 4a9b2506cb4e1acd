package config

import "iter"

// Options are the values of every option that the NameServer of Apache RocketMQ 5.5.0 knows: NamesrvConfig, then
// NettyServerConfig, in the order of the original's declarations. Names and meaning are the original's; the unit stands
// in the name or in the comment. Options marked "unused" are accepted, shown and persisted, and have no effect here.
//
// A published *Options is never changed: code 318 publishes a new one.
type Options struct {
	// NamesrvConfig.
	RocketmqHome                         string
	KVConfigPath                         string
	ConfigStorePath                      string // where code 318 persists
	ProductEnvName                       string // unused
	ClusterTest                          bool   // unused
	OrderMessageEnable                   bool   // live
	ReturnOrderTopicConfigToBroker       bool   // live
	ClientRequestThreadPoolNums          int32
	DefaultThreadPoolNums                int32
	ClientRequestThreadPoolQueueCapacity int32
	DefaultThreadPoolQueueCapacity       int32
	ScanNotActiveBrokerInterval          int64  // milliseconds
	UnRegisterBrokerQueueCapacity        int32  // unused
	SupportActingMaster                  bool   // live
	EnableAllTopicList                   bool   // live
	EnableTopicList                      bool   // live
	NotifyMinBrokerIDChanged             bool   // live
	EnableControllerInNamesrv            bool   // refused
	NeedWaitForService                   bool   // live
	WaitSecondsForService                int32  // live, seconds
	DeleteTopicWithBrokerRegistration    bool   // live
	ConfigBlackList                      string // names separated by ';'

	// NettyServerConfig.
	BindAddress                        string
	ListenPort                         int32
	ServerWorkerThreads                int32 // unused
	ServerCallbackExecutorThreads      int32 // unused
	ServerSelectorThreads              int32 // unused
	ServerOnewaySemaphoreValue         int32 // unused
	ServerAsyncSemaphoreValue          int32 // unused
	ServerChannelMaxIdleTimeSeconds    int32 // live for new connections; 0 or less: never
	ServerSocketSndBufSize             int32 // bytes, 0 = the system's
	ServerSocketRcvBufSize             int32 // bytes, 0 = the system's
	WriteBufferHighWaterMark           int32 // bytes, 0 = 64 KiB
	WriteBufferLowWaterMark            int32 // bytes, 0 = 32 KiB
	ServerSocketBacklog                int32 // unused
	ServerNettyWorkerGroupEnable       bool  // unused
	ServerPooledByteBufAllocatorEnable bool  // unused
	EnableShutdownGracefully           bool  // live
	ShutdownWaitTimeSeconds            int32 // live, seconds
	UseEpollNativeSelector             bool  // unused
}

// option ties a name of the original to a field.
type option struct {
	name string
	// field points to the value inside o: a *string, *bool, *int32 or *int64.
	field func(o *Options) any
	// locked names can never be changed by code 318.
	locked bool
	// live options take effect at once when they change; the others at the next start.
	live bool
	// check says what is wrong with a value that parses; nil allows everything. It is for Validate only: the
	// original has no such checks.
	check func(o *Options) string
	// within and risk say what a running node may be given by code 318, beyond check: see node/config/risks.go. Nil allows everything.
	within *limits
	risk   func(o *Options) string
}

// options lists all of them in the order in which the original declares and prints them.
var options = []option{
	{name: "rocketmqHome", locked: true, field: func(o *Options) any { return &o.RocketmqHome }},
	{name: "kvConfigPath", locked: true, field: func(o *Options) any { return &o.KVConfigPath }, check: checkKVConfigPath},
	{name: "configStorePath", locked: true, field: func(o *Options) any { return &o.ConfigStorePath }},
	{name: "productEnvName", field: func(o *Options) any { return &o.ProductEnvName }},
	{name: "clusterTest", field: func(o *Options) any { return &o.ClusterTest }},
	{name: "orderMessageEnable", live: true, field: func(o *Options) any { return &o.OrderMessageEnable }},
	{name: "returnOrderTopicConfigToBroker", live: true, field: func(o *Options) any { return &o.ReturnOrderTopicConfigToBroker }},
	{name: "clientRequestThreadPoolNums", field: func(o *Options) any { return &o.ClientRequestThreadPoolNums }, within: threads},
	{name: "defaultThreadPoolNums", field: func(o *Options) any { return &o.DefaultThreadPoolNums }, within: threads},
	{name: "clientRequestThreadPoolQueueCapacity", field: func(o *Options) any { return &o.ClientRequestThreadPoolQueueCapacity }, within: waiting},
	{name: "defaultThreadPoolQueueCapacity", field: func(o *Options) any { return &o.DefaultThreadPoolQueueCapacity }, within: waiting},
	{name: "scanNotActiveBrokerInterval", field: func(o *Options) any { return &o.ScanNotActiveBrokerInterval }, check: checkScanInterval, within: scanMillis},
	{name: "unRegisterBrokerQueueCapacity", field: func(o *Options) any { return &o.UnRegisterBrokerQueueCapacity }, within: theirWaiting},
	{name: "supportActingMaster", live: true, field: func(o *Options) any { return &o.SupportActingMaster }},
	{name: "enableAllTopicList", live: true, field: func(o *Options) any { return &o.EnableAllTopicList }},
	{name: "enableTopicList", live: true, field: func(o *Options) any { return &o.EnableTopicList }},
	{name: "notifyMinBrokerIdChanged", live: true, field: func(o *Options) any { return &o.NotifyMinBrokerIDChanged }},
	{name: "enableControllerInNamesrv", field: func(o *Options) any { return &o.EnableControllerInNamesrv }, check: checkController},
	{name: "needWaitForService", live: true, field: func(o *Options) any { return &o.NeedWaitForService }},
	{name: "waitSecondsForService", live: true, field: func(o *Options) any { return &o.WaitSecondsForService }, within: readySeconds},
	{name: "deleteTopicWithBrokerRegistration", live: true, field: func(o *Options) any { return &o.DeleteTopicWithBrokerRegistration }},
	{name: "configBlackList", locked: true, field: func(o *Options) any { return &o.ConfigBlackList }},

	{name: "bindAddress", field: func(o *Options) any { return &o.BindAddress }, check: checkBindAddress, risk: riskOfAddress},
	{name: "listenPort", field: func(o *Options) any { return &o.ListenPort }, check: checkListenPort, risk: riskOfPort},
	{name: "serverWorkerThreads", field: func(o *Options) any { return &o.ServerWorkerThreads }, within: theirThreads},
	{name: "serverCallbackExecutorThreads", field: func(o *Options) any { return &o.ServerCallbackExecutorThreads }, within: theirThreads},
	{name: "serverSelectorThreads", field: func(o *Options) any { return &o.ServerSelectorThreads }, within: theirThreads},
	{name: "serverOnewaySemaphoreValue", field: func(o *Options) any { return &o.ServerOnewaySemaphoreValue }},
	{name: "serverAsyncSemaphoreValue", field: func(o *Options) any { return &o.ServerAsyncSemaphoreValue }},
	{name: "serverChannelMaxIdleTimeSeconds", live: true, field: func(o *Options) any { return &o.ServerChannelMaxIdleTimeSeconds }, within: idleSeconds},
	{name: "serverSocketSndBufSize", field: func(o *Options) any { return &o.ServerSocketSndBufSize }, within: bufferBytes},
	{name: "serverSocketRcvBufSize", field: func(o *Options) any { return &o.ServerSocketRcvBufSize }, within: bufferBytes},
	{name: "writeBufferHighWaterMark", field: func(o *Options) any { return &o.WriteBufferHighWaterMark }, check: checkWaterMarks, within: bufferBytes},
	{name: "writeBufferLowWaterMark", field: func(o *Options) any { return &o.WriteBufferLowWaterMark }, within: bufferBytes},
	{name: "serverSocketBacklog", field: func(o *Options) any { return &o.ServerSocketBacklog }},
	{name: "serverNettyWorkerGroupEnable", field: func(o *Options) any { return &o.ServerNettyWorkerGroupEnable }},
	{name: "serverPooledByteBufAllocatorEnable", field: func(o *Options) any { return &o.ServerPooledByteBufAllocatorEnable }},
	{name: "enableShutdownGracefully", live: true, field: func(o *Options) any { return &o.EnableShutdownGracefully }},
	{name: "shutdownWaitTimeSeconds", live: true, field: func(o *Options) any { return &o.ShutdownWaitTimeSeconds }, within: drainSeconds},
	{name: "useEpollNativeSelector", field: func(o *Options) any { return &o.UseEpollNativeSelector }},
}

// All are the options by name, as text, in the original's order.
func (o *Options) All() iter.Seq2[string, string] {
	return func(yield func(name, text string) bool) {
		for _, opt := range options {
			if !yield(opt.name, opt.text(o)) {
				return
			}
		}
	}
}

// optionNamed finds an option; names are case-sensitive.
func optionNamed(name string) (option, bool) {
	for _, opt := range options {
		if opt.name == name {
			return opt, true
		}
	}
	return option{}, false
}
