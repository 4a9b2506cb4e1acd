package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/epitaph-mq/epitaph/test/java"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// What 5.5.0 and 4.9.7 say to every private key that OpenSSL writes, by their own code: java.txt, against which
// remoting/pemkey is tested where there is no Java.
func TestJavaLoadsKeys(t *testing.T) {
	need(t, 1)
	const golden = "../../remoting/pemkey/testdata/"
	archive, err := txtar.ParseFile(golden + "keys.txt")
	kit.Must(t, err)
	dir := t.TempDir()
	var list, names []string
	for _, f := range archive.Files {
		file := filepath.Join(dir, strings.ReplaceAll(f.Name, "/", "_"))
		kit.Must(t, os.WriteFile(file, f.Data, 0o600))
		if strings.HasSuffix(f.Name, ".crt") {
			continue
		}
		cert := filepath.Join(dir, strings.Split(f.Name, "/")[1]+".crt")
		password := "123456"
		if strings.HasSuffix(f.Name, "/plain") {
			password = "-"
		}
		names = append(names, f.Name)
		list = append(list, fmt.Sprintln(f.Name, file, cert, password))
	}
	keys := filepath.Join(dir, "list")
	kit.Must(t, os.WriteFile(keys, []byte(strings.Join(list, "")), 0o600))
	said := map[string][]string{}
	for _, version := range []string{"5.5.0", "4.9.7"} {
		cmd := exec.Command("java", "-XX:TieredStopAtLevel=1", "-cp", java.ClassPath(java.Jars(t, "rocketmq-namesrv", version)),
			"java/LoadKeys.java", keys)
		out, err := cmd.Output()
		kit.Must(t, err)
		for _, m := range regexp.MustCompile(`(?m)^verdict (\S+) (\w+)`).FindAllStringSubmatch(string(out), -1) {
			said[m[1]] = append(said[m[1]], m[2])
		}
	}
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintln(&text, name, strings.Join(said[name], " "))
	}
	kit.Golden(t, golden+"java.txt", text.String())
}
