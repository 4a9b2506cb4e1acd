package install

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/java"
)

// The image has a path for each version that was ever released, and for none that was not: not each is released as each artifact.
func TestVersions(t *testing.T) {
	if os.Getenv("EPITAPH_INSTALL") == "" {
		t.Skip("SKIPPED: it asks Maven for the releases of RocketMQ: make night-install")
	}
	var released []string
	for _, artifact := range []string{"rocketmq-all", "rocketmq-namesrv", "rocketmq-broker", "rocketmq-client"} {
		released = append(released, java.Versions(t, artifact)...)
	}
	listed := strings.Fields(read(t, "deploy/rocketmq/versions"))
	for _, version := range released {
		if !slices.Contains(listed, version) {
			t.Errorf("RocketMQ %s is released, and not in deploy/rocketmq/versions", version)
		}
	}
	for _, version := range listed {
		if !slices.Contains(released, version) {
			t.Errorf("deploy/rocketmq/versions has %s, which is not released", version)
		}
	}
}
