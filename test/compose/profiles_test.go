package compose

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

const prometheusImage = "prom/prometheus:v2.53.4"

// testObserve runs Prometheus as the profile has it: it scrapes all three nodes and has loaded the rules.
func (e *engine) testObserve(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("SKIPPED: prometheus is not installed")
	}
	r := newRootfs(t)
	r.programs("prometheus")
	r.mkdir("prometheus", 0o755)
	r.own("prometheus", 65534)
	r.image(e, prometheusImage, "USER 65534:65534", "EXPOSE 9090", "VOLUME /prometheus", "WORKDIR /prometheus",
		`ENTRYPOINT ["/bin/prometheus"]`,
		`CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]`)
	e.compose(t, "--profile", "observe", "up", "-d", "--no-deps", "prometheus")
	const at = "http://127.0.0.1:9090"
	kit.Await(t, patience, "Prometheus scrapes three nodes", func() error {
		return shows(at+"/api/v1/query?query=sum(up{job=%22epitaph%22})", `"3"`)
	})
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	kit.Await(t, patience, "the rules are evaluated", func() error {
		if err := kit.GetJSON(at+"/api/v1/rules", &rules); err != nil || len(rules.Data.Groups) == 0 {
			return fmt.Errorf("no rules: %w", err)
		}
		for _, g := range rules.Data.Groups {
			for _, one := range g.Rules {
				if one.Health != "ok" {
					return fmt.Errorf("%+v", one)
				}
			}
		}
		return nil
	})
	e.compose(t, "--profile", "observe", "rm", "-sf", "prometheus")
}

// shows is nil when what is at url has the text in it.
func shows(url, text string) error {
	if status, body := get(url); status != http.StatusOK || !strings.Contains(body, text) {
		return fmt.Errorf("%d %s", status, body)
	}
	return nil
}

// testBrokers runs two real brokers of the profile. docker-compose stop lets one unregister before it ends, and it is
// gone at all three nodes.
func (e *engine) testBrokers(t *testing.T) {
	brokerStandIn(t, e)
	started := time.Now()
	e.compose(t, "--profile", "brokers", "up", "-d")
	names := []string{"broker-a", "broker-b"}
	for _, broker := range names {
		for i := range services {
			kit.Await(t, patience, broker+" is registered at "+services[i], func() error {
				return shows(httpOf(i)+"/v1/brokers", `"`+broker+`"`)
			})
		}
	}
	t.Logf("two brokers at three nodes %.0f s after docker-compose --profile brokers up", time.Since(started).Seconds())
	stopped := time.Now()
	e.compose(t, "stop", "broker-a")
	for i := range services {
		kit.Await(t, patience, "broker-a is gone at "+services[i], func() error {
			if shows(httpOf(i)+"/v1/brokers", `"broker-a"`) == nil {
				return errors.New("it is there")
			}
			return shows(httpOf(i)+"/v1/brokers", `"broker-b"`)
		})
	}
	if took := time.Since(stopped); took > 28*time.Second {
		t.Errorf("the stop took %v: the broker was killed at the end of its grace period", took)
	}
	departures := 0
	for i := range services {
		_, body := get(httpOf(i) + "/metrics")
		departures += strings.Count(body, `epitaph_departures_total{meaning="tombstone"} `) -
			strings.Count(body, `epitaph_departures_total{meaning="tombstone"} 0`)
	}
	if departures == 0 {
		t.Error("no node heard broker-a unregister: SIGTERM did not reach Java")
	}
	e.compose(t, "--profile", "brokers", "rm", "-sf", "broker-a", "broker-b")
}

const (
	brokerImage = "apache/rocketmq:5.5.0"
	brokerHome  = "home/rocketmq/rocketmq-5.5.0"
)

// brokerStandIn makes apache/rocketmq:5.5.0, unless it is there: see doc.go.
func brokerStandIn(t *testing.T, e *engine) {
	if os.Getenv(inside) == noJars {
		t.Skip("SKIPPED: no jars of RocketMQ's broker (Maven)")
	}
	if _, err := e.output("docker", "image", "inspect", brokerImage); err == nil {
		return
	}
	path, err := exec.LookPath("java")
	if err != nil {
		t.Skip("SKIPPED: java is not installed")
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		t.Fatal(err)
	}
	jre := filepath.Dir(filepath.Dir(path))
	r := newRootfs(t)
	r.programs("sh", "readlink", "sleep")
	r.mkdir("opt/jre/lib", 0o755)
	r.copy(filepath.Join(jre, "bin"), "opt/jre/bin")
	r.copy(filepath.Join(jre, "conf"), "opt/jre/conf")
	entries, err := os.ReadDir(filepath.Join(jre, "lib"))
	kit.Must(t, err)
	for _, entry := range entries {
		name := filepath.Join(jre, "lib", entry.Name())
		if _, err := os.Stat(name); err != nil || strings.HasSuffix(name, ".zip") || entry.Name() == "ct.sym" || entry.Name() == "jmods" {
			continue
		}
		r.copy(name, "opt/jre/lib/"+entry.Name())
	}
	r.libraries(filepath.Join(jre, "bin", "java"), filepath.Join(jre, "lib", "server", "libjvm.so"),
		filepath.Join(jre, "lib", "libjava.so"), filepath.Join(jre, "lib", "libnio.so"), filepath.Join(jre, "lib", "libmanagement_ext.so"))
	r.rocksLibraries()
	r.copy(filepath.SplitList(os.Getenv(inside))[0], brokerHome+"/lib")
	kit.Must(t, java.WriteLogback(filepath.Join(r.dir, brokerHome))) // without it a 4.9.7 does not start
	r.write("etc/passwd", "rocketmq:x:3000:3000::/home/rocketmq:/bin/sh\n", 0o644)
	r.write(brokerHome+"/bin/mqbroker", `#!/bin/sh
sh "$ROCKETMQ_HOME/bin/runbroker.sh" org.apache.rocketmq.broker.BrokerStartup "$@"
exit $?
`, 0o755)
	r.write(brokerHome+"/bin/runbroker.sh", `#!/bin/sh
/opt/jre/bin/java --add-exports java.base/jdk.internal.ref=ALL-UNNAMED --add-exports java.base/sun.nio.ch=ALL-UNNAMED \
	--add-opens java.base/java.nio=ALL-UNNAMED $JAVA_OPT_EXT -cp "$ROCKETMQ_HOME/lib/*" "$@"
exit $?
`, 0o755)
	r.own("home/rocketmq", 3000)
	r.image(e, brokerImage, "ENV PATH=/bin:/opt/jre/bin", "ENV ROCKETMQ_HOME=/"+brokerHome, "USER 3000:3000",
		"WORKDIR /"+brokerHome+"/bin")
}

// rocksLibraries takes what the native part of RocksDB, which its jar unpacks at run time, is linked to.
func (r *rootfs) rocksLibraries() {
	r.t.Helper()
	libc, err := filepath.Glob("/lib/*-linux-gnu/libc.so.6")
	if err != nil || len(libc) == 0 {
		r.t.Fatalf("no libc found: %v", err)
	}
	for _, name := range []string{"libpthread.so.0", "librt.so.1", "libdl.so.2", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"} {
		from := filepath.Join(filepath.Dir(libc[0]), name)
		if _, err := os.Stat(from); err != nil {
			from = filepath.Join("/usr", from)
		}
		r.copy(from, strings.TrimPrefix(filepath.Join(filepath.Dir(libc[0]), name), "/"))
	}
}
