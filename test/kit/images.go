package kit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ContainerStart is how somebody starts a container of RocketMQ's image: one block of test/install/testdata/images.txt, where it is
// told what the fields mean. What is empty is the image's own.
type ContainerStart struct {
	From, User, Dir, Logs, Says, Port, Health string
	Env, Entrypoint, Args                     []string
	Files                                     [][2]string // path, text
}

// ContainerStarts reads images.txt.
func ContainerStarts(t testing.TB) (all []ContainerStart) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), "test/install/testdata/images.txt"))
	Must(t, err)
	for block := range strings.SplitSeq(string(text), "\n\n") {
		l := ContainerStart{Port: "9876"}
		for row := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSuffix(row, "\n"), " ")
			switch key {
			case "#":
			case "@":
				l.From = value
			case "user":
				l.User = value
			case "in":
				l.Dir = value
			case "logs":
				l.Logs = value
			case "port":
				l.Port = value
			case "says":
				l.Says = value
			case "health":
				l.Health = value
			case "env":
				l.Env = append(l.Env, value)
			case "file":
				path, text, _ := strings.Cut(value, " ")
				l.Files = append(l.Files, [2]string{path, strings.ReplaceAll(text, `\n`, "\n") + "\n"})
			case "entrypoint":
				l.Entrypoint = words(value)
			case "run":
				l.Args = words(value)
			default:
				t.Fatalf("images.txt: %q", row)
			}
		}
		if l.From != "" {
			all = append(all, l)
		}
	}
	return all
}

// words splits at blanks outside single quotes.
func words(text string) (all []string) {
	for i, part := range strings.Split(text, "'") {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}
