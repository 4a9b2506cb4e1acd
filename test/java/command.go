package java

import (
	"os"
	"os/exec"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// Flags are the JVM's for every program: a home of its own, a small heap, a quick start without the threads of a parallel
// collector. A server of RocketMQ makes a certificate at each start, which takes 3 s of CPU, unless its port speaks no TLS.
func Flags(home, heap string) []string {
	return []string{
		"-Duser.home=" + home, "-Xms64m", "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dtls.server.mode=disabled",
	}
}

// Command says how to run one Java program.
type Command struct {
	ClassPath string   // see ClassPath
	JVM       []string // flags before the class name, e.g. -Xmx256m
	Main      string   // class name
	Args      []string
	Env       []string // NAME=value, added to this process's environment
	Dir       string   // working directory
}

// Start runs a Java program. It is killed when t ends, if it still runs then, and its output is logged when t failed.
func Start(t testing.TB, c Command) *kit.Process {
	t.Helper()
	Require(t)
	p, err := Run(c)
	if err != nil {
		t.Fatalf("start %s: %v", c.Main, err)
	}
	kit.KillAtEnd(t, c.Main, p)
	return p
}

// Run starts a Java program; the caller ends it with Kill.
func Run(c Command) (*kit.Process, error) {
	args := append([]string{"-cp", c.ClassPath}, c.JVM...)
	args = append(append(args, c.Main), c.Args...)
	cmd := exec.Command("java", args...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	return kit.Exec(cmd)
}
