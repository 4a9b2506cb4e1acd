package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Each shell takes its script without a word; what bash and fish then propose is what there is.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	kit.Must(t, os.WriteFile(filepath.Join(dir, "a file"), nil, 0o600))
	ask := map[string]func(script string, words ...string) string{
		"bash": func(script string, words ...string) string {
			return `source ` + script + `; cd ` + dir + `; COMP_WORDS=('` + strings.Join(words, "' '") + `'); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _epitaph; printf '%s\n' "${COMPREPLY[@]}"`
		},
		"fish": func(script string, words ...string) string {
			return `source ` + script + `; cd ` + dir + `; complete -C '` + strings.Join(words, " ") + `' | string replace -r '\t.*' ''; true`
		},
		"zsh": func(script string, _ ...string) string {
			return `autoload -Uz compinit; compinit -D -u; source ` + script
		},
	}
	for shell, line := range ask {
		t.Run(shell, func(t *testing.T) {
			status, out, errs := run("completion", shell)
			if status != command.OK || errs != "" {
				t.Errorf("status %d, %s", status, errs)
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("SKIPPED, not proven on this machine: %v", err)
			}
			script := filepath.Join(dir, "completion."+shell)
			kit.Must(t, os.WriteFile(script, []byte(out), 0o600))
			proposed := map[string]string{
				"epitaph memb": "members", "epitaph serve --lis": "--listen", "epitaph routes --names": "--namesrv", "epitaph help tomb": "tombstones",
				"epitaph completion f": "fish", "epitaph serve --data a": "a file", "epitaph members --nosuch": "", "epitaph nosuch --listen": "",
			}
			if shell == "zsh" { // which proposes to a terminal alone
				proposed = map[string]string{"": ""}
			}
			for words, want := range proposed {
				said, err := exec.Command(path, "-c", line(script, strings.Fields(words)...)).CombinedOutput()
				if got := strings.ReplaceAll(strings.TrimSpace(string(said)), `\`, ""); err != nil || got != want {
					t.Errorf("%s: %q %v, want %q", words, got, err, want)
				}
			}
		})
	}
}
