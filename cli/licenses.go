package cli

import (
	"context"
	"io"
	"strings"

	"github.com/epitaph-mq/epitaph/cli/command"
)

// licensesCommand prints what its licence, and those of the libraries in it, want to accompany the program.
func (p *program) licensesCommand() *command.Command {
	v := view{out: p.stdout}
	return &command.Command{
		Name:      "licenses",
		Usage:     "print the licence of this program and of everything that it contains",
		UsageText: "epitaph licenses [--json]",
		Flags:     []command.Flag{{To: &v.json, Name: "json", Usage: "for programs: JSON, a list of the texts"}},
		Run: func(context.Context, []string) error {
			texts, err := p.licenses()
			if err != nil {
				return err
			}
			if v.json {
				return v.printAsJSON(texts)
			}
			_, err = io.WriteString(p.stdout, strings.Join(texts, "\n"))
			return err
		},
	}
}
