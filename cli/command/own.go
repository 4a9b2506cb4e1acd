package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// Own are the commands that every program has about itself: help, version, completion and man. They write to stdout.
func Own(c *Command, stdout io.Writer) []*Command {
	asJSON := false
	forPrograms := []Flag{{To: &asJSON, Name: "json", Usage: "for programs: JSON"}}
	return []*Command{
		{
			Name: "help", Raw: true, Usage: "show all commands, or the flags of one", UsageText: c.Name + " help [COMMAND] [--json]",
			Flags: forPrograms,
			Run:   func(ctx context.Context, args []string) error { return c.help(ctx, args, stdout) },
		},
		{
			Name: "version", Usage: "print the version", UsageText: c.Name + " version [--json]",
			Flags: forPrograms,
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
			Name: "man", Argument: "DIR", Usage: "write the manual pages into a directory", UsageText: c.Name + " man DIR [--json]",
			Description: fmt.Sprintf(`Examples:
    for every user of this machine:
        %[1]s man /usr/local/share/man/man1
    to read one without installing it:
        %[1]s man /tmp/pages && man /tmp/pages/%[1]s.1`, c.Name),
			Flags: forPrograms,
			Run: func(_ context.Context, args []string) error {
				files, err := writeManual(c, args[0])
				if err != nil || !asJSON {
					return err
				}
				return json.NewEncoder(stdout).Encode(map[string][]string{"files": files})
			},
		},
	}
}

// help shows the page of a command, or that of the program.
func (c *Command) help(ctx context.Context, args []string, stdout io.Writer) error {
	words := slices.DeleteFunc(slices.Clone(args), func(word string) bool { return word == "--json" })
	asJSON := len(words) < len(args)
	args = words
	switch {
	case len(args) > 1:
		return wrong(errors.New("help takes one command at most"), c.Name)
	case len(args) == 1 && c.named(args[0]) != nil && asJSON:
		return json.NewEncoder(stdout).Encode(c.named(args[0]).catalog())
	case len(args) == 1 && c.named(args[0]) != nil:
		return c.run(ctx, []string{c.Name, args[0], "--help"}, stdout)
	case len(args) == 1 && args[0] != "--help" && args[0] != "-h":
		return wrong(fmt.Errorf("there is no command %q%s", args[0], didYouMean(args[0], c.names(), "")), c.Name)
	}
	if asJSON {
		return json.NewEncoder(stdout).Encode(c.catalog())
	}
	return c.run(ctx, []string{c.Name, "--help"}, stdout)
}

// page is what a command's help says, for programs.
type page struct {
	Name        string     `json:"name"`
	Usage       string     `json:"usage"`
	Synopsis    string     `json:"synopsis,omitempty"`
	Description string     `json:"description,omitempty"`
	Argument    string     `json:"argument,omitempty"` // what it takes one of
	Flags       []flagPage `json:"flags,omitempty"`
	Commands    []page     `json:"commands,omitempty"`
}

type flagPage struct {
	Name     string `json:"name"`
	Short    string `json:"short,omitempty"`
	Value    string `json:"value,omitempty"` // what it wants; without, it is a switch
	Usage    string `json:"usage"`
	Default  string `json:"default,omitempty"`
	Env      string `json:"env,omitempty"`
	Category string `json:"category,omitempty"`
}

func (c *Command) catalog() page {
	p := page{Name: c.Name, Usage: c.Usage, Synopsis: c.UsageText, Description: c.Description, Argument: c.Argument}
	for i := range c.Flags {
		f := &c.Flags[i]
		value, usage, standing := f.told()
		p.Flags = append(p.Flags, flagPage{f.Name, f.Short, value, usage, standing, f.Env, strings.TrimSuffix(f.Category, ":")})
	}
	for _, below := range c.listed() {
		p.Commands = append(p.Commands, below.catalog())
	}
	return p
}
