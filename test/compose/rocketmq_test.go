package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// The image epitaph:rocketmq on an engine: every start line of test/install/testdata/images.txt at night, each fifth of them else.
func (e *engine) testRocketmqImage(t *testing.T) {
	e.run(t, "docker", "build", "--target", "rocketmq", "-t", "epitaph:rocketmq", ".")
	size, err := strconv.Atoi(strings.TrimSpace(e.run(t, "docker", "image", "inspect", "--format", "{{.Size}}", "epitaph:rocketmq")))
	if err != nil || size > 20<<20 {
		t.Errorf("the image has %d bytes, want less than 20 MB, %v", size, err)
	}
	t.Logf("image in the place of RocketMQ's: %.1f MB", float64(size)/(1<<20))
	for i, l := range kit.ContainerStarts(t) {
		if os.Getenv(wanted) == "long" || i%5 == 0 {
			t.Run(fmt.Sprint(i, " ", strings.Fields(l.From)[0]), func(t *testing.T) { e.tryStart(t, l) })
		}
	}
}

func (e *engine) tryStart(t *testing.T, l kit.ContainerStart) {
	const name = "in-place"
	dir := t.TempDir()
	args := []string{"docker", "run", "--name", name, "-p", "19876:" + l.Port}
	for i, f := range l.Files {
		file := filepath.Join(dir, fmt.Sprint("file", i))
		kit.Must(t, os.WriteFile(file, []byte(f[1]), 0o644))
		args = append(args, "-v", file+":"+f[0]+":ro")
	}
	logs := filepath.Join(dir, "logs")
	if l.Logs != "" {
		kit.Must(t, os.Mkdir(logs, 0o777))
		kit.Must(t, os.Chmod(logs, 0o777))
		args = append(args, "-v", logs+":"+l.Logs)
	}
	for _, one := range l.Env {
		args = append(args, "-e", one)
	}
	if l.User != "" {
		args = append(args, "--user", l.User)
	}
	if l.Dir != "" {
		args = append(args, "--workdir", l.Dir)
	}
	command := l.Args
	if l.Entrypoint != nil {
		args = append(args, "--entrypoint", l.Entrypoint[0])
		command = append(append([]string{}, l.Entrypoint[1:]...), l.Args...)
	}
	defer e.try("docker", "rm", "-fv", name)
	if l.Says != "" {
		if out, err := e.output(append(append(args, "epitaph:rocketmq"), command...)...); err == nil || !strings.Contains(err.Error(), l.Says) {
			t.Errorf("%v, and %q is not in: %s", err, l.Says, out)
		}
		return
	}
	e.run(t, append(append(args, "--detach", "epitaph:rocketmq"), command...)...)
	kit.Await(t, patience, "it serves", func() error {
		_, err := e.output("docker", "exec", name, "epitaph", "health", "-n", "127.0.0.1:"+l.Port)
		return err
	})
	if l.Health != "" {
		e.run(t, "docker", "exec", name, "sh", "-c", l.Health)
	}
	if l.Logs != "" {
		text, err := os.ReadFile(filepath.Join(logs, "rocketmqlogs", "namesrv.log"))
		if err != nil || !strings.Contains(string(text), "boot success") {
			t.Errorf("the mounted log: %v: %s", err, text)
		}
	}
	if l.User == "" {
		e.run(t, "docker", "exec", name, "sh", "-c", "id -u | grep -qx 3000 && mqshutdown namesrv")
	} else {
		e.run(t, "docker", "exec", name, "mqshutdown", "namesrv")
	}
	e.run(t, "docker", "wait", name)
}
