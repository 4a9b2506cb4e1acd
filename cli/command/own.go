package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// Own are the commands that every program has about itself: help, version, completion and man. They write to stdout.
func Own(c *Command, stdout io.Writer) []*Command {
	asJSON := false
	return []*Command{
		{
			Name: "help", Raw: true, Usage: "show all commands, or the flags of one", UsageText: c.Name + " help [COMMAND]",
			Run: func(ctx context.Context, args []string) error { return c.help(ctx, args, stdout) },
		},
		{
			Name: "version", Usage: "print the version", UsageText: c.Name + " version [--json]",
			Flags: []Flag{{To: &asJSON, Name: "json", Usage: "for programs: JSON"}},
			Run: func(context.Context, []string) error {
				if !asJSON {
					_, err := fmt.Fprintf(stdout, "%s version %s\n", c.Name, c.Version)
					return err
				}
				return json.NewEncoder(stdout).Encode(map[string]string{
					"name": c.Name, "version": c.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			},
		},
		{
			Name: "completion", Argument: "SHELL", Usage: "print what makes a shell complete commands and flags",
			UsageText: c.Name + " completion bash|zsh|fish",
			Description: fmt.Sprintf(`Examples:
    bash, for this session, or as a line of ~/.bashrc:
        source <(%[1]s completion bash)
    zsh, once:
        %[1]s completion zsh > "${fpath[1]}/_%[1]s"
    fish, once:
        %[1]s completion fish > ~/.config/fish/completions/%[1]s.fish`, c.Name),
			Run: func(_ context.Context, args []string) error {
				write, known := completions[args[0]]
				if !known {
					return UsageError(fmt.Errorf("no completion is known for %q: want bash, zsh or fish", args[0]))
				}
				_, err := io.WriteString(stdout, write(c))
				return err
			},
		},
		{
			Name: "man", Argument: "DIR", Usage: "write the manual pages into a directory", UsageText: c.Name + " man DIR",
			Description: fmt.Sprintf(`Examples:
    for every user of this machine:
        %[1]s man /usr/local/share/man/man1
    to read one without installing it:
        %[1]s man /tmp/pages && man /tmp/pages/%[1]s.1`, c.Name),
			Run: func(_ context.Context, args []string) error { return writeManual(c, args[0]) },
		},
	}
}

// help shows the page of a command, or that of the program.
func (c *Command) help(ctx context.Context, args []string, stdout io.Writer) error {
	switch {
	case len(args) > 1:
		return wrong(errors.New("help takes one command at most"), c.Name)
	case len(args) == 1 && c.named(args[0]) != nil:
		return c.run(ctx, []string{c.Name, args[0], "--help"}, stdout, stdout)
	case len(args) == 1 && args[0] != "--help" && args[0] != "-h":
		return wrong(fmt.Errorf("there is no command %q%s", args[0], didYouMean(args[0], c.names(), "")), c.Name)
	}
	return c.run(ctx, []string{c.Name, "--help"}, stdout, stdout)
}
