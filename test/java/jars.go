package java

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// fetchLimit bounds one run of Maven; 130 jars take about half a minute with an empty repository.
const fetchLimit = 10 * time.Minute

// Jars returns the directory that holds the jars of an org.apache.rocketmq artifact and of all it needs at run
// time, fetching them when they are not cached. It skips t when Maven is missing and fails it when Maven fails.
func Jars(t testing.TB, name, version string) string {
	t.Helper()
	Require(t)
	dir, err := Fetch(name, version)
	if err != nil {
		t.Fatalf("jars of %s %s: %v", name, version, err)
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

// Fetch makes the jars of an org.apache.rocketmq artifact present and returns their directory. A lock file for each
// directory makes concurrent test binaries wait for the first; it gets its final name only when it is complete.
func Fetch(name, version string) (string, error) {
	cache, err := kit.Cache()
	if err != nil {
		return "", err
	}
	final := filepath.Join(cache, name+"-"+version)
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
	if err := copyDependencies(work, name, version); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(work, "lib"), final); err != nil {
		return "", fmt.Errorf("keep the jars: %w", err)
	}
	return final, nil
}

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>epitaph</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.rocketmq</groupId><artifactId>%s</artifactId><version>%s</version></dependency>
  </dependencies>
</project>
`

func copyDependencies(work, name, version string) error {
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), fmt.Appendf(nil, pom, name, version), 0o644); err != nil {
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
