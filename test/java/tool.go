package java

import (
	"testing"
	"time"
)

// toolLimit bounds one mqadmin command; 2-3 s on a quiet machine.
const toolLimit = 5 * time.Minute

// Admin runs one mqadmin command of a release to its end and returns what it printed.
func Admin(t testing.TB, version string, args ...string) string {
	t.Helper()
	return AdminWith(t, version, nil, args...)
}

// AdminWith is Admin with more flags of the Java machine.
func AdminWith(t testing.TB, version string, jvm []string, args ...string) string {
	t.Helper()
	home := t.TempDir()
	if err := WriteLogback(home); err != nil {
		t.Fatalf("prepare mqadmin: %v", err)
	}
	p := Start(t, Command{
		ClassPath: ClassPath(Jars(t, "rocketmq-tools", version)),
		JVM:       append(append(Flags(home, "256m"), "-Drocketmq.home.dir="+home), jvm...),
		Main:      "org.apache.rocketmq.tools.command.MQAdminStartup",
		Args:      args,
		Env:       []string{"ROCKETMQ_HOME=" + home},
		Dir:       home,
	})
	if _, err := p.Wait(toolLimit); err != nil {
		t.Fatalf("mqadmin %v: %v", args, err)
	}
	return p.Output()
}
