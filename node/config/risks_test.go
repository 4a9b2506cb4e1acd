package config

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// running is a node's configuration that code 318 changes, with its file and its log.
func running(t *testing.T, file string) (r *Runtime, store string, log *bytes.Buffer) {
	t.Helper()
	store, log = filepath.Join(t.TempDir(), "ns.conf"), new(bytes.Buffer)
	kit.Must(t, os.WriteFile(store, []byte(file), 0o600))
	cfg, _, _ := fileConfig(t, []byte(file), store)
	return NewRuntime(cfg, slog.New(slog.NewTextHandler(log, nil))), store, log
}

// Code 318 takes nothing that the next start would refuse, or that would harm the node or its stop: one below and one above of
// each limit. What is refused changes nothing, not even what stands beside it.
func TestUpdateRefusesWhatHarms(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	defer busy.Close()
	taken := strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	for key, c := range map[string]struct{ takes, refuses []string }{
		"shutdownWaitTimeSeconds":              {[]string{"1", "3600", "0", "-1"}, []string{"3601", "2147483647"}},
		"scanNotActiveBrokerInterval":          {[]string{"1000", "600000"}, []string{"999", "600001", "0", "-1", "9223372036854775807"}},
		"clientRequestThreadPoolNums":          {[]string{"1", "4096"}, []string{"0", "-1", "4097", "2147483647"}},
		"defaultThreadPoolNums":                {[]string{"1", "4096"}, []string{"0", "-1", "4097"}},
		"clientRequestThreadPoolQueueCapacity": {[]string{"1", "1000000"}, []string{"0", "-1", "1000001"}},
		"defaultThreadPoolQueueCapacity":       {[]string{"1", "1000000"}, []string{"0", "-1", "1000001", "2147483647"}},
		"serverWorkerThreads":                  {[]string{"1", "4096", "0"}, []string{"4097", "2147483647"}},
		"serverSelectorThreads":                {[]string{"1", "4096", "-2"}, []string{"4097", "2147483647"}},
		"serverCallbackExecutorThreads":        {[]string{"0", "4096"}, []string{"4097"}},
		"unRegisterBrokerQueueCapacity":        {[]string{"0", "1000000"}, []string{"1000001"}},
		"waitSecondsForService":                {[]string{"0", "1", "100000", "-1"}, []string{"100001", "2147483647"}},
		"serverChannelMaxIdleTimeSeconds":      {[]string{"60", "0", "-1", "2147483647"}, []string{"59", "1"}},
		"serverSocketSndBufSize":               {[]string{"0", "4096", "67108864"}, []string{"1", "4095", "67108865"}},
		"serverSocketRcvBufSize":               {[]string{"0", "4096", "67108864"}, []string{"1", "4095", "67108865"}},
		"writeBufferHighWaterMark":             {[]string{"0", "4096", "67108864"}, []string{"1", "4095", "67108865", "2147483647"}},
		"writeBufferLowWaterMark":              {[]string{"0", "4096"}, []string{"4095", "67108865"}},
		"enableControllerInNamesrv":            {[]string{"false"}, []string{"true"}},
		"listenPort":                           {[]string{port}, []string{"0", "-1", "65536", taken}},
		"bindAddress":                          {[]string{"0.0.0.0", "127.0.0.1"}, []string{"192.0.2.1", "nosuch.invalid", "localhost", "fe80::1%lo", "1.2.3.4:5", strings.Repeat("x", 300)}},
		"logLevel":                             {[]string{"debug", "error", ""}, []string{"loud", "INFO"}},
		"productEnvName":                       {[]string{strings.Repeat("x", 300)}, nil},
		"extra":                                {[]string{strings.Repeat("x", 300)}, nil},
	} {
		for _, value := range c.takes {
			r, store, _ := running(t, "bindAddress=127.0.0.1\nlogLevel=info\nextra=1\n")
			if err := r.Update([]byte(key+"="+value), Caller{}); err != nil {
				t.Errorf("%s=%.40s is refused: %v", key, value, err)
			} else if file, err := os.ReadFile(store); err != nil || !strings.Contains(string(file), key+"="+value) {
				t.Errorf("%s=%.40s is not kept (%v)", key, value, err)
			}
		}
		for _, value := range c.refuses {
			const was = "bindAddress=127.0.0.1\nlogLevel=info\nextra=1\n"
			r, store, log := running(t, was)
			before := string(r.Listing())
			err := r.Update([]byte("enableTopicList=false\n"+key+"="+value), Caller{Remote: "192.0.2.1:1", Source: "192.0.2.1"})
			if err == nil || !strings.Contains(err.Error(), key+"=") {
				t.Errorf("%s=%.40s: %v, want it refused by name", key, value, err)
				continue
			}
			if len(err.Error()) > 1024 {
				t.Errorf("%s=%.40s: the answer has %d bytes", key, value, len(err.Error()))
			}
			if file, err := os.ReadFile(store); err != nil || string(file) != was || string(r.Listing()) != before {
				t.Errorf("%s=%.40s is refused, and something was changed (%v)", key, value, err)
			}
			if !kit.ContainsAll(log.String(), "configuration not changed", "remote=192.0.2.1:1", "source=192.0.2.1") {
				t.Errorf("%s=%.40s: the log says %.200s", key, value, log.String())
			}
		}
	}
}

// What stands in the operator's own file is not in the way of other changes.
func TestUpdateLeavesTheFileItsOwn(t *testing.T) {
	r, _, _ := running(t, "bindAddress=localhost\nlistenPort=0\nshutdownWaitTimeSeconds=86400\nscanNotActiveBrokerInterval=10\n"+
		"serverChannelMaxIdleTimeSeconds=1\nlogLevel=loud\n")
	kit.Must(t, r.Update([]byte("enableTopicList=false\nshutdownWaitTimeSeconds=86400\nlogLevel=loud"), Caller{}))
	if r.Options().EnableTopicList {
		t.Error("not changed")
	}
}

func TestUpdateHasALimit(t *testing.T) {
	r, _, _ := running(t, "extra=1\n")
	pad := func(n int) []byte {
		return append([]byte("extra=2\n#"), bytes.Repeat([]byte("x"), n-len("extra=2\n#"))...)
	}
	kit.Must(t, r.Update(pad(MaxUpdate), Caller{}))
	if err := r.Update(pad(MaxUpdate+1), Caller{}); err == nil || !strings.Contains(err.Error(), "65536 bytes") {
		t.Errorf("one byte more: %v", err)
	}
}
