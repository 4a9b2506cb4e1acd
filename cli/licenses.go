package cli

import (
	"io"

	urfave "github.com/urfave/cli/v2"
)

// licensesCommand prints what its licence, and those of the libraries in it, want to accompany the program.
func (p *program) licensesCommand() *urfave.Command {
	return &urfave.Command{
		Name:  "licenses",
		Usage: "print the licence of this program and of everything that it contains",
		Action: func(*urfave.Context) error {
			_, err := io.WriteString(p.stdout, p.licenses)
			return err
		},
	}
}
