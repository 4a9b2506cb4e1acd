package node

// int32 reads a numeric system property. The original cannot start with one that is no number; Validate of the
// reading side reports it, here it counts as absent.
func (s System) int32(name string, missing int32) int32 {
	if n, ok := parseJava(s.Properties[name], 32); ok {
		return int32(n)
	}
	return missing
}

// clientOptions are the options of NettyClientConfig: connections that the original opens itself. They are read from
// the file only, have no effect here, and are listed by code 319 when the file holds them.
var clientOptions = []string{
	"clientWorkerThreads", "clientCallbackExecutorThreads", "clientOnewaySemaphoreValue", "clientAsyncSemaphoreValue",
	"connectTimeoutMillis", "channelNotActiveInterval", "scanAvailableNameSrv", "clientChannelMaxIdleTimeSeconds",
	"clientSocketSndBufSize", "clientSocketRcvBufSize", "clientPooledByteBufAllocatorEnable",
	"clientCloseSocketIfTimeout", "useTLS", "socksProxyConfig", "writeBufferHighWaterMark", "writeBufferLowWaterMark",
	"disableCallbackExecutor", "disableNettyWorkerGroup", "maxReconnectIntervalTimeSeconds",
	"enableReconnectForGoAway",
}
