// Package java runs released Apache RocketMQ software (name server, broker, tools, clients) for tests.
//
// The jars come from Maven: Jars writes a pom.xml, lets mvn copy the dependencies once and keeps them in a cache
// directory (EPITAPH_TEST_CACHE, else epitaph-test in the user's cache directory), one directory per artifact and
// version. A machine without java or mvn skips loudly: see Require.
package java

import (
	"errors"
	"fmt"
	"os/exec"
	"testing"
)

// Available says whether released Java software can be run: nil, or an error that names every missing program.
func Available() error {
	var missing []error
	for _, name := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, fmt.Errorf("%s is not on the PATH (install a JDK 17 and Maven 3)", name))
		}
	}
	return errors.Join(missing...)
}

// Require skips t, loudly, when Java software cannot be run on this machine.
func Require(t testing.TB) {
	t.Helper()
	if err := Available(); err != nil {
		t.Skipf("SKIPPED, not proven on this machine: %v", err)
	}
}
