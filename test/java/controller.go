package java

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Controller is a running standalone controller.
type Controller struct {
	*kit.Process
	Addr string
}

var controllerBootLine = regexp.MustCompile(`The Controller Server boot success`)

// StartController runs the released controller alone (a Raft group of one) and waits for its boot line.
func StartController(t testing.TB, version string) *Controller {
	t.Helper()
	dir, port := t.TempDir(), kit.PortBlock(t)
	c := &Controller{Addr: kit.Loopback(port)}
	config := filepath.Join(dir, "controller.conf")
	err := WriteProperties(config, map[string]string{
		"controllerDLegerGroup": "group1", "controllerDLegerSelfId": "n0",
		"controllerDLegerPeers": "n0-" + c.Addr,
		"controllerStorePath":   filepath.Join(dir, "store"), "mappedFileSize": "16777216",
	})
	if err != nil {
		t.Fatalf("prepare controller: %v", err)
	}
	c.Process = Start(t, Command{
		ClassPath: ClassPath(Jars(t, "rocketmq-controller", version)),
		JVM:       append(Flags(dir, "256m"), moduleFlags("256m")...),
		Main:      "org.apache.rocketmq.controller.ControllerStartup",
		Args:      []string{"-c", config},
		Env:       []string{"ROCKETMQ_HOME=" + dir},
		Dir:       dir,
	})
	if _, err := c.Line(controllerBootLine, brokerBootLimit); err != nil {
		t.Fatalf("start controller %s: %v", version, err)
	}
	return c
}
