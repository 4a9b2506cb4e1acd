package install

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// The tools that look at the chart, as modules of Go.
const (
	helmTool      = "helm.sh/helm/v3/cmd/helm@v3.22.0"
	scoreTool     = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"
	kustomizeTool = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1" // later ones need another Go
)

const chart = "deploy/helm/epitaph"

// sets are the names of the value sets in ci, and of their renderings in testdata.
var sets = []string{"default", "single", "full", "openshift", "rotation"}

func rendering(set string) string { return filepath.Join("testdata", "chart", set+".yaml") }

// Every variable in the renderings is one that the program reads, and none that a chart's user sets is one that the chart sets.
func TestChartSetsKnownVariables(t *testing.T) {
	known := variables(t)
	reserved := regexp.MustCompile(`"((?:EPITAPH|POD)_\w+)"`).FindAllStringSubmatch(read(t, chart, "values.schema.json"), -1)
	files := []string{"../../deploy/kubernetes/epitaph.yaml"}
	for _, set := range sets {
		files = append(files, rendering(set))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		kit.Must(t, err)
		for _, m := range regexp.MustCompile(`- name: ((?:EPITAPH|POD)_\w+)`).FindAllStringSubmatch(string(text), -1) {
			name := m[1]
			if strings.HasPrefix(name, "EPITAPH_") && !slices.Contains(known, name) {
				t.Errorf("%s sets %s, which epitaph serve does not read", file, name)
			}
			if !slices.ContainsFunc(reserved, func(r []string) bool { return r[1] == name }) && name != "EPITAPH_LOG_LEVEL" {
				t.Errorf("%s sets %s, which values.schema.json lets extraEnv set once more", file, name)
			}
		}
	}
}

// plain makes the manifests without Helm of a rendering.
func plain(text string) string {
	text = regexp.MustCompile(`(?m)^ +(app\.kubernetes\.io/managed-by|helm\.sh/chart): .*\n`).ReplaceAllString(text, "")
	return "# Made from deploy/helm/epitaph by make manifests: change that.\n" + text
}

// tool builds a program of a module.
func tool(t *testing.T, module string) string {
	t.Helper()
	dir := t.TempDir()
	install := exec.CommandContext(t.Context(), "go", "install", module)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-trimpath")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("go install %s: %v\n%s", module, err, kit.Tail(string(out), 2000))
	}
	made, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(made) != 1 {
		t.Fatalf("go install %s made %q, %v", module, made, err)
	}
	return made[0]
}

// TestKustomize builds deploy/kubernetes as kubectl apply -k does: with the key in a Secret under the name that the pods mount.
func TestKustomize(t *testing.T) {
	if os.Getenv("EPITAPH_INSTALL") == "" {
		t.Skip("SKIPPED: it builds kustomize: make night-install")
	}
	out := sh(t, `cp -r "$1/deploy/kubernetes" "$2/k"; "$3" keygen "$2/k/gossip.key" >/dev/null; "$4" build "$2/k" >"$2/all.yaml"
cd "$1/test/install/strict"; go run . <"$2/all.yaml"; cat "$2/all.yaml"`, kit.Root(t), t.TempDir(), kit.Binary(t), tool(t, kustomizeTool))
	for _, part := range []string{"kind: Secret\n", "gossip.key: ", "kind: StatefulSet\n", "secretName: epitaph-gossip-key\n", "\n  name: epitaph-gossip-key\n"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in:\n%s", part, out)
		}
	}
}

// TestChart renders the chart for each value set, and lets helm, the types of k8s.io/api and kube-score judge it.
func TestChart(t *testing.T) {
	if os.Getenv("EPITAPH_INSTALL") == "" {
		t.Skip("SKIPPED: it builds helm and kube-score: make night-install")
	}
	root := kit.Root(t)
	helm, score := tool(t, helmTool), tool(t, scoreTool)
	strict := filepath.Join(t.TempDir(), "strict")
	sh(t, `cd "$1" && go build -o "$2" .`, filepath.Join(root, "test/install/strict"), strict)
	run := func(stdin, program string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir, cmd.Stdin = root, strings.NewReader(stdin)
		out, err := cmd.Output()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			out = append(out, exit.Stderr...)
		}
		return string(out), err
	}
	render := func(args ...string) (string, error) {
		return run("", helm, append([]string{"template", "epitaph", chart, "--namespace", "mq"}, args...)...)
	}
	judge := func(t *testing.T, set, text string) {
		t.Helper()
		if out, err := run(text, strict); err != nil {
			t.Errorf("strict decoding: %v: %s", err, out)
		}
		if set == "single" { // what is asked for there is what kube-score warns of
			return
		}
		// Left out: what is a matter of the cluster, not of the chart (a mutable tag, a limit of CPU that would slow a NameServer down, a
		// ServiceAccount of its own, user ids that OpenShift gives).
		if out, err := run(text, score, "score", "-", "--output-format", "ci", "--ignore-test", "container-image-pull-policy",
			"--ignore-test", "container-resources", "--ignore-test", "container-security-context-user-group-id",
			"--ignore-test", "container-ephemeral-storage-request-and-limit"); err != nil {
			t.Errorf("kube-score: %v\n%s", err, out)
		}
	}
	for _, set := range sets {
		t.Run(set, func(t *testing.T) {
			values := filepath.Join(chart, "ci", set+"-values.yaml")
			if out, err := run("", helm, "lint", "--strict", chart, "--values", values); err != nil {
				t.Errorf("helm lint: %v\n%s", err, out)
			}
			text, err := render("--values", values)
			if err != nil {
				t.Fatalf("helm template: %v\n%s", err, text)
			}
			accept(t, rendering(set), text)
			judge(t, set, text)
		})
	}
	t.Run("kubernetes", func(t *testing.T) {
		text, err := render("--set", "gossipKey.existingSecret=epitaph-gossip-key")
		if err != nil {
			t.Fatalf("helm template: %v\n%s", err, text)
		}
		accept(t, filepath.Join(root, "deploy/kubernetes/epitaph.yaml"), plain(text))
		judge(t, "kubernetes", text)
	})
	key := "gossipKey.keys={AAECAwQFBgcICQoLDA0ODw==}"
	t.Run("refuses a drain that takes longer than the pod has", func(t *testing.T) {
		out, err := render("--set", key+",terminationGracePeriodSeconds=199")
		if err == nil || !strings.Contains(out, "terminationGracePeriodSeconds=199 is less than") {
			t.Errorf("%v: %s", err, out)
		}
	})
	for name, c := range map[string]struct{ set, says string }{
		"no key":                     {"replicas=3", "gossipKey"},
		"keys twice":                 {key + ",gossipKey.existingSecret=x", "gossipKey"},
		"no base64":                  {"gossipKey.keys={secret}", "/gossipKey/keys/0"},
		"an unknown value":           {key + ",replica=3", "replica"},
		"no node":                    {key + ",replicas=0", "replicas"},
		"a class without a volume":   {key + ",persistence.enabled=false,persistence.storageClass=fast", "storageClass"},
		"peers without a policy":     {key + ",networkPolicy.enabled=false,networkPolicy.brokerPorts={10911}", "brokerPorts"},
		"no port":                    {key + ",networkPolicy.brokerPorts={0}", "brokerPorts"},
		"static without the server":  {key + `,addressServer.enabled=false,addressServer.static={10.0.0.7:9876}`, "static"},
		"a variable of the chart":    {key + ",extraEnv[0].name=EPITAPH_NAME,extraEnv[0].value=x", "extraEnv"},
		"a port of the chart":        {key + ",set.listenPort=1", "set"},
		"a wait beyond the start":    {key + ",joinWait=300s", "joinWait"},
		"an unknown way of affinity": {key + ",antiAffinity=always", "antiAffinity"},
		"a name for a network":       {key + ",adminFrom={everybody}", "adminFrom"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			out, err := render("--set", c.set)
			if err == nil || !strings.Contains(out, "values don't meet the specifications of the schema") || !strings.Contains(out, c.says) {
				t.Errorf("%s: %v, want a refusal that names %s:\n%s", c.set, err, c.says, kit.Tail(out, 1000))
			}
		})
	}
}

// accept compares text with a file, or writes it with EPITAPH_ACCEPT=1.
func accept(t *testing.T, file, text string) {
	t.Helper()
	if os.Getenv("EPITAPH_ACCEPT") != "" {
		kit.Must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		kit.Must(t, os.WriteFile(file, []byte(text), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	kit.Must(t, err)
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s is not what the chart makes; make manifests writes it anew (-want +got)\n%s", file, diff)
	}
}
