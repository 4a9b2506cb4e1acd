package compose

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// patience bounds every wait; a loaded machine is slow.
const patience = 2 * time.Minute

// engine is a Docker engine of this test's own, and the compose project on it.
type engine struct {
	env []string
	dir string // of the repository
}

func startEngine(t *testing.T) *engine {
	t.Helper()
	kit.Must(t, settle())
	dir, err := os.MkdirTemp("", "dk") //nolint:usetesting // the path of a socket must be short
	kit.Must(t, err)
	log, err := os.Create(filepath.Join(dir, "log"))
	kit.Must(t, err)
	host := "unix://" + filepath.Join(dir, "sock")
	daemon := exec.Command("dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "-H", host, "--default-address-pool", "base=10.213.0.0/16,size=24",
		"--bip", "10.214.0.1/24")
	daemon.Stdout, daemon.Stderr = log, log
	kit.Must(t, daemon.Start())
	e := &engine{dir: kit.Root(t), env: append(os.Environ(), "DOCKER_HOST="+host, "EPITAPH_READY_AFTER=0s", "DOCKER_BUILDKIT=0", "COMPOSE_DOCKER_CLI_BUILD=0",
		"COMPOSE_PROJECT_NAME=epitaph", "DOCKER_CONFIG="+filepath.Join(dir, "config"))}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("compose ps:\n%s", e.try("docker-compose", "ps"))
			t.Logf("compose logs:\n%s", e.try("docker-compose", "logs", "--no-color", "--tail", "60"))
		}
		e.try("docker-compose", "--profile", "brokers", "--profile", "observe", "down", "-v", "-t", "5")
		_ = daemon.Process.Signal(syscall.SIGTERM)
		if err := daemon.Wait(); err != nil {
			text, _ := os.ReadFile(log.Name())
			t.Logf("dockerd: %v\n%s", err, kit.Tail(string(text), 4000))
		}
		_ = log.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Log(err)
		}
	})
	kit.Await(t, patience, "dockerd answers", func() error {
		_, err := e.output("docker", "version", "--format", "{{.Server.Version}}")
		return err
	})
	return e
}

// output runs a program in the repository and returns stdout; the error carries stderr.
func (e *engine) output(args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = e.dir, e.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s%s", strings.Join(args, " "), err, kit.Tail(out.String(), 4000), kit.Tail(errs.String(), 4000))
	}
	return out.String(), nil
}

func (e *engine) try(args ...string) string {
	out, err := e.output(args...)
	if err != nil {
		return out + err.Error()
	}
	return out
}

// run is output that must succeed.
func (e *engine) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.output(args...)
	kit.Must(t, err)
	return out
}

func (e *engine) compose(t *testing.T, args ...string) string {
	t.Helper()
	return e.run(t, append([]string{"docker-compose"}, args...)...)
}

// container is the id of a service's container.
func (e *engine) container(t *testing.T, service string) string {
	t.Helper()
	id := strings.TrimSpace(e.run(t, "docker", "ps", "-aq", "--filter", "label=com.docker.compose.service="+service))
	if id == "" {
		t.Fatalf("%s has no container", service)
	}
	return id
}

// exec runs a command inside a service's container.
func (e *engine) exec(t *testing.T, service string, command ...string) (string, error) {
	t.Helper()
	return e.output(append([]string{"docker", "exec", e.container(t, service)}, command...)...)
}

// inspect is one fact about a service's container, by a template.
func (e *engine) inspect(t *testing.T, service, format string) string {
	t.Helper()
	return strings.TrimSpace(e.run(t, "docker", "inspect", "--format", format, e.container(t, service)))
}
