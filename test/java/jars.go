package java

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// fetchLimit bounds one run of Maven; 130 jars take about half a minute with an empty repository.
const fetchLimit = 10 * time.Minute

// Artifact names one Maven artifact.
type Artifact struct {
	Group, Name, Version string
}

// RocketMQ is an artifact of group org.apache.rocketmq, e.g. RocketMQ("rocketmq-namesrv", "5.5.0").
func RocketMQ(name, version string) Artifact {
	return Artifact{"org.apache.rocketmq", name, version}
}

// Jars returns the directory that holds the jars of an org.apache.rocketmq artifact and of all it needs at run
// time, fetching them when they are not cached. It skips t when Maven is missing and fails it when Maven fails.
func Jars(t testing.TB, name, version string) string {
	t.Helper()
	return JarsOf(t, RocketMQ(name, version))
}

// JarsOf is Jars for several artifacts of any group on one class path. The first one names the directory.
func JarsOf(t testing.TB, artifacts ...Artifact) string {
	t.Helper()
	Require(t)
	dir, err := Fetch(artifacts...)
	if err != nil {
		t.Fatalf("jars of %v: %v", artifacts, err)
	}
	return dir
}

// ClassPath is the class path of everything in the given directories of jars.
func ClassPath(dirs ...string) string {
	entries := make([]string, len(dirs))
	for i, dir := range dirs {
		entries[i] = filepath.Join(dir, "*")
	}
	return strings.Join(entries, string(os.PathListSeparator))
}

// Fetch makes the jars of the artifacts present and returns their directory. A lock file per directory makes concurrent test binaries wait
// for the first; the directory gets its final name only when it is complete.
func Fetch(artifacts ...Artifact) (string, error) {
	cache, err := kit.Cache()
	if err != nil {
		return "", err
	}
	names := make([]string, len(artifacts))
	for i, a := range artifacts {
		names[i] = a.Name + "-" + a.Version
	}
	final := filepath.Join(cache, strings.Join(names, "+"))
	unlock, err := kit.Lock(final + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", fmt.Errorf("make a working directory: %w", err)
	}
	defer os.RemoveAll(work)
	if err := copyDependencies(work, artifacts); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(work, "lib"), final); err != nil {
		return "", fmt.Errorf("keep the jars: %w", err)
	}
	return final, nil
}

var pom = template.Must(template.New("pom").Parse(`<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>epitaph</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{{range .}}
    <dependency><groupId>{{.Group}}</groupId><artifactId>{{.Name}}</artifactId><version>{{.Version}}</version></dependency>{{end}}
  </dependencies>
</project>
`))

func copyDependencies(work string, artifacts []Artifact) error {
	var text bytes.Buffer
	if err := pom.Execute(&text, artifacts); err != nil {
		return fmt.Errorf("write pom: %w", err)
	}
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write pom: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy-dependencies",
		"-DoutputDirectory=lib", "-DincludeScope=runtime")
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn dependency:copy-dependencies: %w\n%s", err, out)
	}
	return nil
}
