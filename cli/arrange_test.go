package cli

import (
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
)

// Flags stand anywhere, and what is mistyped is told with what was probably meant: commands, flags, and flags in front of the command whose
// value would pass for one.
func TestMistypedIsTold(t *testing.T) {
	for line, says := range map[string]string{
		"memebrs":              `there is no command "memebrs"; did you mean members?`,
		"help servr":           `there is no command "servr"; did you mean serve?`,
		"brokers --jsno":       `brokers has no flag --jsno; did you mean --json?`,
		"--vresion":            `there is no flag --vresion; did you mean --version?`,
		"--listn 0:9876 serve": `there is no flag --listn; did you mean --listen?`,
		"--listn=x":            `there is no flag --listn=x; did you mean --listen?`,
		"-a x:1 memebrs":       `there is no command "memebrs"; did you mean members?`,
		"--socket x":           `--socket belongs to a command, and none is named`,
		"members --socket":     `--socket wants a value`,
		"top -a= -http-addr=":  `--http-addr and -a are one flag: give it once`,
		"-- memebrs":           `there is no command "memebrs"; did you mean members?`,
		"-- licenses --json":   `licenses takes no argument "--json"`,
	} {
		if status, out, errs := run(strings.Fields(line)...); status != command.Usage || out != "" || !strings.Contains(errs, says) {
			t.Errorf("epitaph %s: status %d, %s%s; want %s", line, status, out, errs, says)
		}
	}
	for _, line := range []string{"--json version", "version --json", "help --json version", "--json licenses"} {
		if status, out, errs := run(strings.Fields(line)...); status != command.OK || out == "" || errs != "" {
			t.Errorf("epitaph %s: status %d, %s", line, status, errs)
		}
	}
}
