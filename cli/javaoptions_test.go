package cli

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// javaStarts are environments of a Java machine, files that they name, and the command line, with what Java 17 makes of
// the properties whose names begin with k: each "name=[value]", or the line in which it says that it does not start.
var javaStarts = []struct {
	env         []string
	file        string // content of args.txt in the working directory
	commandLine string
	want        string
}{
	{env: []string{`JAVA_TOOL_OPTIONS=-Dk1="a b" -Dk2=c`}, want: "k1=[a b] k2=[c]"},
	{env: []string{`JAVA_TOOL_OPTIONS=-Dk1='a b' '-Dk2=c d' -D"k3=e f"`}, want: "k1=[a b] k2=[c d] k3=[e f]"},
	{env: []string{`JAVA_TOOL_OPTIONS=-Dk1="a'b" -Dk2='c"d'`}, want: `k1=[a'b] k2=[c"d]`},
	{env: []string{`JAVA_TOOL_OPTIONS=-Dk1=a\tb`}, want: `k1=[a\tb]`},
	{env: []string{`JAVA_TOOL_OPTIONS=-Dk1 -Dk2= -Dk3=a=b`}, want: "k1=[] k2=[] k3=[a=b]"},
	{env: []string{"JAVA_TOOL_OPTIONS=-Dk1=1\n-Dk2=2\t-Dk3=3"}, want: "k1=[1] k2=[2] k3=[3]"},
	{env: []string{`JAVA_TOOL_OPTIONS=-Dk1="a b`}, want: "Unmatched quote in JAVA_TOOL_OPTIONS"},
	{env: []string{`JAVA_TOOL_OPTIONS=-Dk1=c\"d`}, want: "Unmatched quote in JAVA_TOOL_OPTIONS"},
	{env: []string{`JAVA_TOOL_OPTIONS=bogus -Dk1=1`}, want: "Unrecognized option: bogus"},
	{env: []string{`JAVA_TOOL_OPTIONS=@args.txt`}, file: "-Dk1=1", want: "Unrecognized option: @args.txt"},
	{env: []string{`_JAVA_OPTIONS=-Dk1="u u"`, "JAVA_TOOL_OPTIONS=-Dk1=t -Dk2=t", "JDK_JAVA_OPTIONS=-Dk1=j -Dk2=j -Dk3=j"},
		want: "k1=[u u] k2=[j] k3=[j]"},
	{env: []string{"_JAVA_OPTIONS=-Dk1=u", "JDK_JAVA_OPTIONS=-Dk2=j"}, commandLine: "-Dk1=c -Dk2=c", want: "k1=[u] k2=[c]"},
	{env: []string{`JDK_JAVA_OPTIONS=-Dk1="a	b" -Dk2=c'd e'f`}, want: "k1=[a\tb] k2=[cd ef]"},
	{env: []string{`JDK_JAVA_OPTIONS=-Dk1="a b`}, want: "Error: Unmatched quote in environment variable JDK_JAVA_OPTIONS"},
	{env: []string{"JDK_JAVA_OPTIONS=@missing"}, want: "Error: could not open `missing'"},
	{env: []string{"JDK_JAVA_OPTIONS=P -Dk1=1"}, want: "Error: Cannot specify main class in environment variable JDK_JAVA_OPTIONS"},
	{env: []string{"JDK_JAVA_OPTIONS=@@args.txt"}, want: "Error: Cannot specify main class in environment variable JDK_JAVA_OPTIONS"},
	{env: []string{"JDK_JAVA_OPTIONS=--add-opens java.base/java.lang=ALL-UNNAMED -Dk1=1"}, want: "k1=[1]"},
	{env: []string{`JDK_JAVA_OPTIONS=@args.txt -Dk6="a b"`}, want: "k1=[a b] k2=[x y] k3=[e\tf\\] k4=[p#q] k6=[a b]",
		file: "-Dk1=\"a b\"  # c\n-Dk2='x \\\n   y'\n\"-Dk3=e\\tf\\\\\"\r\n-Dk4='p#q'\n#-Dk5=no\n"},
	{env: []string{`JDK_JAVA_OPTIONS="@args.txt"`}, file: "-Dk1=a\\b -Dk2='c'd\f-Dk3=", want: `k1=[a\b] k2=[cd] k3=[]`},
	{env: []string{`JDK_JAVA_OPTIONS=@args.txt`}, file: "-Dk1=a#b\n-Dk2=\"c", want: "k2=[c]"},
	{commandLine: "@args.txt -Dk2=2", file: "-Dk1=1 -Dk2=1", want: "k1=[1] k2=[2]"},
	{commandLine: "@missing", want: "Error: could not open `missing'"},
	{env: []string{"JAVA_TOOL_OPTIONS=-XX:VMOptionsFile=args.txt"}, file: "-Dk1=\"f g\"\n-Dk2=h", want: "k1=[f g] k2=[h]"},
	{commandLine: "-XX:VMOptionsFile=missing", want: "Could not open options file 'missing'"},
	{commandLine: "-XX:VMOptionsFile=args.txt", file: "-XX:VMOptionsFile=x",
		want: "A VM options file may not refer to a VM options file."},
}

func TestJavaOptions(t *testing.T) {
	for _, c := range javaStarts {
		t.Chdir(t.TempDir())
		kit.Must(t, os.WriteFile("args.txt", []byte(c.file), 0o600))
		p := &program{environ: c.env}
		o, err := p.javaOptions(strings.Fields(c.commandLine))
		if got := told(o, err); got != c.want {
			t.Errorf("%q, file %q, command line %s: got %s, want %s", c.env, c.file, c.commandLine, got, c.want)
		}
	}
}

func told(o *javaOptions, err error) string {
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return first
	}
	var all []string
	for i := range 9 {
		name := fmt.Sprintf("k%d", i)
		if value, ok := o.properties[name]; ok {
			all = append(all, fmt.Sprintf("%s=[%s]", name, value))
		}
	}
	return strings.Join(all, " ")
}

// The same starts with a real Java machine: what javaStarts wants is what Java does.
func TestJavaOptionsAsJava(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short; starts Java two dozen times; make test has it")
	}
	java.Require(t)
	dir := t.TempDir()
	source := filepath.Join(dir, "P.java")
	kit.Must(t, os.WriteFile(source, []byte(`public class P { public static void main(String[] a) { String s = "";
		for (int i = 0; i < 9; i++) if (System.getProperty("k" + i) != null) s += " k" + i + "=[" + System.getProperty("k" + i) + "]";
		System.out.print("FOUND" + s); } }`), 0o600))
	run := func(env []string, name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(nil, "javac", source); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range javaStarts {
		kit.Must(t, os.WriteFile(filepath.Join(dir, "args.txt"), []byte(c.file), 0o600))
		args := append(strings.Fields(c.commandLine), "-cp", dir, "P")
		out, _ := run(c.env, "java", args...) // that it does not start is an answer, too
		got := ""
		if _, found, ok := strings.Cut(out, "FOUND"); ok {
			got = strings.TrimPrefix(found, " ")
		} else {
			for line := range strings.Lines(out) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, c.want) {
					got = c.want
				}
			}
		}
		if got != c.want {
			t.Errorf("%q, file %q, command line %s: Java says %s, want %s", c.env, c.file, c.commandLine, out, c.want)
		}
	}
}

// An empty user.home, as of a variable that is not set, is the root: Java puts a slash and a name behind it.
func TestEmptyUserHome(t *testing.T) {
	var out kit.Log
	p := &program{stdout: &out, stderr: io.Discard, environ: []string{"ROCKETMQ_HOME=x", "JAVA_OPT=-Duser.home="}, newNode: newNode}
	if status := p.main([]string{"mqnamesrv", "-p"}); status != 0 || !strings.Contains(out.String(), "kvConfigPath=/namesrv/kvConfig.json\n") {
		t.Errorf("status %d: %s", status, out.String())
	}
}
