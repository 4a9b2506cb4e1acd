package java

import (
	"context"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Versions are those of an org.apache.rocketmq artifact that Maven's repository has now, pre-releases among them.
func Versions(t testing.TB, name string) []string {
	t.Helper()
	Require(t)
	cache, err := kit.Cache()
	kit.Must(t, err)
	repository := filepath.Join(cache, "maven") // one whose place is known, whatever the user's settings say
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	get := exec.CommandContext(ctx, "mvn", "-B", "-U", "-Dmaven.repo.local="+repository, "dependency:get", "-Dtransitive=false",
		"-Dartifact=org.apache.rocketmq:"+name+":LATEST:pom")
	get.Dir = t.TempDir()
	if out, err := get.CombinedOutput(); err != nil {
		t.Fatalf("ask for the versions of %s: %v\n%s", name, err, kit.Tail(string(out), 4000))
	}
	files, err := filepath.Glob(filepath.Join(repository, "org/apache/rocketmq", name, "maven-metadata-*.xml"))
	kit.Must(t, err)
	var all []string
	for _, file := range files {
		var metadata struct {
			Versions []string `xml:"versioning>versions>version"`
		}
		text, err := os.ReadFile(file)
		kit.Must(t, err)
		if err := xml.Unmarshal(text, &metadata); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, metadata.Versions...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no version", name)
	}
	return all
}
