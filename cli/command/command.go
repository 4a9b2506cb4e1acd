// Package command is the shape of our command lines: commands, flags that may also come from the environment, help that
// fits the screen, and wrong usage told with its remedy. The work is urfave's.
package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/cli/screen"
)

// Command is one command, or a program with its commands.
type Command struct {
	Name, Usage, UsageText, Description string
	Version                             string // of the program; printed by --version
	Flags                               []Flag
	Argument                            string // what it takes exactly one of; empty: it takes no argument
	Raw                                 bool   // Run gets all arguments as they are, flags too
	Hidden                              bool
	Run                                 func(ctx context.Context, args []string) error
	Commands                            []*Command
}

// Flag is a setting of a command.
type Flag struct {
	To          any   // *string, *bool, *int, *uint64, *float64, *time.Duration or *[]string; what it holds is the default
	Given       *bool // unless nil, whether it stands on the command line
	Name, Short string
	Category    string // the heading it stands under in the help
	Default     string // told in place of what To holds
	Env         string // the variable that is read when the flag is not given
	Usage       string // `NAME` in it is that of the value
}

// Exit is an error with an exit status. A nil Err means that there is nothing left to say.
type Exit struct {
	Status int
	Err    error
}

func (e *Exit) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e *Exit) Unwrap() error { return e.Err }

// Exit statuses of our own commands.
const (
	OK     = 0
	Failed = 1 // it was asked for properly and could not be done
	Usage  = 2 // the command line or the configuration is wrong
	Silent = 3 // somebody who was asked did not answer, and nothing else is wrong
)

// UsageError says that the command line or the configuration is wrong.
func UsageError(err error) error { return &Exit{Usage, err} }

func init() {
	urfave.HelpPrinter = func(w io.Writer, template string, data any) {
		var b bytes.Buffer
		urfave.HelpPrinterCustom(&b, template, data, nil)
		_, _ = io.WriteString(w, screen.Fold(b.String())) // a closed terminal is nobody to tell
	}
}

// Main runs the command that args name, tells a fault on stderr and returns the exit status. args[0] is the program.
func (c *Command) Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := c.run(ctx, args, stdout, stderr)
	if err == nil {
		return OK
	}
	if err.Error() != "" {
		fmt.Fprintf(stderr, "%s: %v\n", c.Name, err)
	}
	if exit, ok := errors.AsType[*Exit](err); ok {
		return exit.Status
	}
	return Failed
}

func (c *Command) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	args, err := c.arranged(args)
	if err != nil {
		return err
	}
	return c.app(stdout, stderr).RunContext(ctx, args)
}

func (c *Command) app(stdout, stderr io.Writer) *urfave.App {
	app := &urfave.App{
		Name: c.Name, Usage: c.Usage, UsageText: c.UsageText, Description: c.Description,
		Version: c.Version, HideVersion: c.Version == "", HideHelpCommand: true,
		Writer: stdout, ErrWriter: stderr, ExitErrHandler: func(*urfave.Context, error) {},
		OnUsageError: func(_ *urfave.Context, err error, _ bool) error { return wrong(err, c.Name) },
		Action: func(made *urfave.Context) error {
			if c.Run == nil {
				return urfave.ShowAppHelp(made)
			}
			return c.Run(made.Context, nil)
		},
	}
	if c.named("help") != nil { // then urfave adds none
		app.Flags = append(app.Flags, urfave.HelpFlag)
	}
	for _, one := range c.Commands {
		app.Commands = append(app.Commands, one.below(c.Name))
	}
	return app
}

func (c *Command) below(program string) *urfave.Command {
	path := program + " " + c.Name
	made := &urfave.Command{
		Name: c.Name, Usage: c.Usage, UsageText: c.UsageText, Description: c.Description, Hidden: c.Hidden, SkipFlagParsing: c.Raw,
		OnUsageError: func(_ *urfave.Context, err error, _ bool) error { return wrong(c.wanted(err), path) },
		Action: func(made *urfave.Context) error {
			args := made.Args()
			switch {
			case c.Raw:
			case c.Argument == "" && args.Present():
				return wrong(fmt.Errorf("%s takes no argument %q", c.Name, args.First()), path)
			case c.Argument != "" && args.Len() != 1:
				return wrong(fmt.Errorf("%s takes one %s", c.Name, c.Argument), path)
			}
			for i := range c.Flags {
				if to, ok := c.Flags[i].To.(*[]string); ok {
					*to = made.StringSlice(c.Flags[i].Name)
				}
			}
			return c.Run(made.Context, args.Slice())
		},
	}
	for i := range c.Flags {
		made.Flags = append(made.Flags, c.Flags[i].urfave())
	}
	return made
}

// wanted says what a value should be, where the library says only that it cannot be parsed.
func (c *Command) wanted(err error) error {
	misfit := regexp.MustCompile(`^(?:invalid (?:boolean )?value (".*") for (?:flag )?-([^ :]+)|could not parse (".*") as .* value from environment variable "([^"]+)" for flag ([^ :]+)): `)
	m := misfit.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	i := slices.IndexFunc(c.Flags, func(f Flag) bool { return f.Name == m[2]+m[5] || f.Short != "" && f.Short == m[2] })
	if i < 0 {
		return err
	}
	want := "a whole number"
	switch c.Flags[i].To.(type) {
	case *bool:
		want = "true or false"
	case *float64:
		want = "a number, such as 0.5"
	case *time.Duration:
		want = "a time with its unit, such as 30s or 5m"
	}
	return fmt.Errorf("%s=%s: want %s", cmp.Or(m[4], "--"+c.Flags[i].Name), m[1]+m[3], want)
}

func wrong(err error, path string) error {
	return UsageError(fmt.Errorf("%w; see %s --help", err, path))
}

func (f *Flag) urfave() urfave.Flag {
	var env, short []string
	if f.Env != "" {
		env = []string{f.Env}
	}
	if f.Short != "" {
		short = []string{f.Short}
	}
	switch to := f.To.(type) {
	case *string:
		return &urfave.StringFlag{
			Name: f.Name, Aliases: short, Category: f.Category, DefaultText: f.Default, EnvVars: env, Usage: f.Usage, Destination: to, Value: *to,
		}
	case *bool:
		return &urfave.BoolFlag{
			Name: f.Name, Aliases: short, Category: f.Category, DisableDefaultText: true, EnvVars: env, Usage: f.Usage, Destination: to, Value: *to,
		}
	case *int:
		return &urfave.IntFlag{
			Name: f.Name, Aliases: short, Category: f.Category, DefaultText: f.Default, EnvVars: env, Usage: f.Usage, Destination: to, Value: *to,
		}
	case *uint64:
		return &urfave.Uint64Flag{
			Name: f.Name, Aliases: short, Category: f.Category, DefaultText: f.Default, EnvVars: env, Usage: f.Usage, Destination: to, Value: *to,
		}
	case *float64:
		return &urfave.Float64Flag{
			Name: f.Name, Aliases: short, Category: f.Category, DefaultText: f.Default, EnvVars: env, Usage: f.Usage, Destination: to, Value: *to,
		}
	case *time.Duration:
		return &urfave.DurationFlag{
			Name: f.Name, Aliases: short, Category: f.Category, DefaultText: f.Default, EnvVars: env, Usage: f.Usage, Destination: to, Value: *to,
		}
	case *[]string: // read back by Run: urfave's slice is a type of its own
		return &urfave.StringSliceFlag{Name: f.Name, Aliases: short, Category: f.Category, EnvVars: env, Usage: f.Usage}
	}
	panic(fmt.Sprintf("--%s: no flag can be a %T", f.Name, f.To))
}
