package cli

import (
	"context"
	"io"
	"strings"

	"github.com/epitaph-mq/epitaph/cli/command"
)

// licensesCommand prints what its licence, and those of the libraries in it, want to accompany the program.
func (p *program) licensesCommand() *command.Command {
	return &command.Command{
		Name:  "licenses",
		Usage: "print the licence of this program and of everything that it contains",
		Run: func(context.Context, []string) error {
			_, err := io.WriteString(p.stdout, strings.Join(p.licenses, "\n"))
			return err
		},
	}
}
