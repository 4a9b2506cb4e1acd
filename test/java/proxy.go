package java

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Proxy is a running proxy in cluster mode.
type Proxy struct {
	*kit.Process
	GRPC     string // host:port for gRPC clients
	Remoting string // host:port that remoting clients use as their name server
}

var proxyBootLine = regexp.MustCompile(`rocketmq-proxy startup successfully`)

// StartProxy runs the released proxy in cluster mode, and waits until it serves. nameServers are the settings by which it finds
// them: namesrvAddr, or namesrvDomain and namesrvDomainSubgroup. It is killed when t ends.
func StartProxy(t testing.TB, version string, nameServers map[string]any) *Proxy {
	t.Helper()
	dir, port := t.TempDir(), kit.PortBlock(t)
	config := filepath.Join(dir, "proxy.json")
	settings := map[string]any{
		"rocketMQClusterName": "DefaultCluster", "proxyMode": "CLUSTER",
		"grpcServerPort": port, "remotingListenPort": port + 1,
		"localServeAddr": "127.0.0.1", "remotingAccessAddr": "127.0.0.1",
	}
	maps.Copy(settings, nameServers)
	text, err := json.Marshal(settings)
	if err == nil {
		err = os.WriteFile(config, text, 0o644)
	}
	if err != nil {
		t.Fatalf("prepare proxy: %v", err)
	}
	p := &Proxy{
		GRPC:     kit.Loopback(port),
		Remoting: kit.Loopback(port + 1),
	}
	p.Process = Start(t, Command{
		ClassPath: ClassPath(Jars(t, "rocketmq-proxy", version)),
		JVM:       append(Flags(dir, "384m"), moduleFlags("256m")...),
		Main:      "org.apache.rocketmq.proxy.ProxyStartup",
		Args:      []string{"-pc", config},
		Env:       []string{"ROCKETMQ_HOME=" + dir, "RMQ_PROXY_HOME=" + dir},
		Dir:       dir,
	})
	if _, err := p.Line(proxyBootLine, brokerBootLimit); err != nil {
		t.Fatalf("start proxy %s: %v", version, err)
	}
	return p
}
