package compose

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// The image epitaph:rocketmq on an engine: with the image's name alone, as charts name it, and with mounts at the paths of two
// versions and for the log. More start lines, without an engine: test/install.
func (e *engine) testRocketmqImage(t *testing.T) {
	e.run(t, "docker", "build", "--target", "rocketmq", "-t", "epitaph:rocketmq", ".")
	size, err := strconv.Atoi(strings.TrimSpace(e.run(t, "docker", "image", "inspect", "--format", "{{.Size}}", "epitaph:rocketmq")))
	kit.Must(t, err)
	t.Logf("image in the place of RocketMQ's: %.1f MB", float64(size)/(1<<20))
	dir := t.TempDir()
	mount := func(name, text, at string) []string {
		file := filepath.Join(dir, name)
		kit.Must(t, os.WriteFile(file, []byte(text), 0o644))
		return []string{"-v", file + ":" + at + ":ro"}
	}
	for name, c := range map[string]struct {
		options, args []string
		home          string // of the log
	}{
		"operator": {nil, nil, "/home/rocketmq"},
		"compose":  {nil, []string{"sh", "mqnamesrv"}, "/home/rocketmq"},
		"config":   {mount("a", "listenPort=9876\n", "/home/rocketmq/rocketmq-4.9.4/conf/ns.conf"), []string{"sh", "mqnamesrv", "-c", "../conf/ns.conf"}, "/home/rocketmq"},
		"script": {mount("b", "JAVA_OPT=\"${JAVA_OPT} -Duser.home=/opt\"\n$JAVA ${JAVA_OPT} $@\n", "/home/rocketmq/rocketmq-5.1.4/bin/runserver.sh"),
			[]string{"/home/rocketmq/rocketmq-5.1.4/bin/mqnamesrv"}, "/opt"},
		"logs": {[]string{"-v", "rocketmq-logs:/home/rocketmq/logs"}, []string{"./mqnamesrv"}, "/home/rocketmq"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"docker", "run", "-d", "--name", "place-" + name, "-p", "19876:9876"}, c.options...)
			e.run(t, append(append(args, "epitaph:rocketmq"), c.args...)...)
			defer e.try("docker", "rm", "-fv", "place-"+name)
			kit.Await(t, patience, "it serves", func() error {
				_, err := e.output("docker", "exec", "place-"+name, "epitaph", "health", "-n", "127.0.0.1:9876")
				return err
			})
			e.run(t, "docker", "exec", "place-"+name, "grep", "-q", "boot success", c.home+"/logs/rocketmqlogs/namesrv.log")
			e.run(t, "docker", "exec", "place-"+name, "sh", "-c", "id -u | grep -qx 3000 && ./mqshutdown namesrv")
			e.run(t, "docker", "wait", "place-"+name)
		})
	}
}
