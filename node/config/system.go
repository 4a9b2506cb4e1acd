package config

import (
	"fmt"
	"runtime"
	"strings"
)

// numericProperties are the system properties that hold a whole number.
var numericProperties = []string{
	"com.rocketmq.remoting.frameMaxLength",
	"com.rocketmq.remoting.socket.backlog",
	"com.rocketmq.remoting.socket.rcvbuf.size",
	"com.rocketmq.remoting.socket.sndbuf.size",
	"com.rocketmq.remoting.write.buffer.high.water.mark",
	"com.rocketmq.remoting.write.buffer.low.water.mark",
}

// IsSystemProperty says that the original reads name as a system property, not as an option of its file.
func IsSystemProperty(name string) bool {
	return strings.HasPrefix(name, "tls.") || strings.HasPrefix(name, "com.rocketmq.remoting.") ||
		name == "rocketmq.serialize.type"
}

// Faults reports the system properties with which the original does not start either.
func (s System) Faults() []*Fault {
	var faults []*Fault
	for _, name := range numericProperties {
		if value, ok := s.Properties[name]; ok {
			if _, ok := parseJava(value, 32); !ok {
				faults = append(faults, &Fault{Key: name, Value: value, Remedy: "want a whole number"})
			}
		}
	}
	switch form := s.Properties["rocketmq.serialize.type"]; strings.TrimSpace(form) {
	case "", "JSON", "ROCKETMQ":
	default:
		faults = append(faults, &Fault{
			Key: "rocketmq.serialize.type (ROCKETMQ_SERIALIZE_TYPE)", Value: form, Remedy: "want JSON or ROCKETMQ",
		})
	}
	return faults
}

// int32 reads a numeric system property; one that is no number is reported by Faults and counts as absent here.
func (s System) int32(name string, missing int32) int32 {
	if n, ok := parseJava(s.Properties[name], 32); ok {
		return int32(n)
	}
	return missing
}

// clientOption is an option of NettyClientConfig.
type clientOption struct {
	name    string // in the file
	missing string // the value without one
}

// clientOptions belong to connections that the original opens itself. They are read from the file only, have no
// effect here, and are listed by code 319 when the file holds them.
var clientOptions = []clientOption{
	{"clientWorkerThreads", "4"},
	{"clientCallbackExecutorThreads", fmt.Sprint(runtime.NumCPU())},
	{"clientOnewaySemaphoreValue", "65535"},
	{"clientAsyncSemaphoreValue", "65535"},
	{"connectTimeoutMillis", "3000"},
	{"channelNotActiveInterval", "60000"},
	{"scanAvailableNameSrv", "true"},
	{"clientChannelMaxIdleTimeSeconds", "120"},
	{"clientSocketSndBufSize", "0"},
	{"clientSocketRcvBufSize", "0"},
	{"clientPooledByteBufAllocatorEnable", "false"},
	{"clientCloseSocketIfTimeout", "true"},
	{"useTLS", "false"},
	{"socksProxyConfig", "{}"},
	{"writeBufferHighWaterMark", "0"},
	{"writeBufferLowWaterMark", "0"},
	{"disableCallbackExecutor", "false"},
	{"disableNettyWorkerGroup", "false"},
	{"maxReconnectIntervalTimeSeconds", "60"},
	{"enableReconnectForGoAway", "true"},
}

func isClientOption(name string) bool {
	for _, opt := range clientOptions {
		if opt.name == name {
			return true
		}
	}
	return false
}

// OptionLines are name=value of every option in the order in which the original prints them on request (-p): those of
// the NameServer, of its server, and of its client.
func (c *Config) OptionLines() []string {
	var lines []string
	for _, opt := range options {
		lines = append(lines, opt.name+"="+opt.text(&c.Options))
	}
	for _, opt := range clientOptions {
		name := opt.name
		if name == "scanAvailableNameSrv" {
			name = "isScanAvailableNameSrv" // the name of the field, which printing uses; setting uses its setter's
		}
		lines = append(lines, name+"="+c.clientValue(opt))
	}
	return lines
}

// clientValue is the value of the operator's file if it parses.
func (c *Config) clientValue(opt clientOption) string {
	missing := opt.missing
	switch opt.name {
	case "useTLS":
		missing = fmt.Sprint(c.TLS.Client.Enable)
	case "writeBufferHighWaterMark":
		return fmt.Sprint(c.Options.WriteBufferHighWaterMark)
	case "writeBufferLowWaterMark":
		return fmt.Sprint(c.Options.WriteBufferLowWaterMark)
	}
	value, given := c.Extra[opt.name]
	if !given {
		return missing
	}
	switch missing {
	case "true", "false":
		return fmt.Sprint(strings.EqualFold(value, "true"))
	case "{}":
		return trimJava(value)
	}
	if n, ok := parseJava(value, 64); ok {
		return fmt.Sprint(n)
	}
	return missing
}
