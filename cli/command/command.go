// Package command is the shape of our command lines: commands, flags that may also come from the environment, help that
// fits the screen, and wrong usage told with its remedy. Flags are urfave's: how they are read, and how help tells them.
package command

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	urfave "github.com/urfave/cli/v2"
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

// Main runs the command that args name, tells a fault on stderr and returns the exit status. args[0] is the program.
func (c *Command) Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := c.run(ctx, args, stdout)
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

// run chooses the command. That urfave's App would do as well, but prints its help by text/template: that calls methods by name, for which
// the linker keeps every exported method of the program, a tenth of it.
func (c *Command) run(ctx context.Context, args []string, stdout io.Writer) error {
	below, words, arguments, err := c.arranged(args)
	if err != nil {
		return err
	}
	if below != nil {
		return below.call(ctx, c.Name+" "+below.Name, words, arguments, stdout)
	}
	var help, version bool
	flags := []Flag{helpFlag(&help)}
	if c.Version != "" {
		flags = append(flags, Flag{To: &version, Name: "version", Short: "v", Usage: "print the version"})
	}
	made, err := read(flags, words)
	switch {
	case err != nil:
		return wrong(err, c.Name)
	case help || !version && c.Run == nil:
		c.show(stdout, c.Name, made)
	case version:
		fmt.Fprintf(stdout, "%s version %s\n", c.Name, c.Version)
	default:
		return c.Run(ctx, nil)
	}
	return nil
}

// call runs the command at path. Its name may be followed by the word help instead of the flag.
func (c *Command) call(ctx context.Context, path string, words, arguments []string, stdout io.Writer) error {
	var help bool
	made, err := read(append(slices.Clip(c.Flags), helpFlag(&help)), words)
	switch {
	case err != nil:
		return wrong(c.wanted(err), path)
	case help || len(arguments) > 0 && (arguments[0] == "help" || arguments[0] == "h"):
		c.show(stdout, path, made)
		return nil
	case c.Raw:
	case c.Argument == "" && len(arguments) > 0:
		return wrong(fmt.Errorf("%s takes no argument %q", c.Name, arguments[0]), path)
	case c.Argument != "" && len(arguments) != 1:
		return wrong(fmt.Errorf("%s takes one %s", c.Name, c.Argument), path)
	}
	return c.Run(ctx, arguments)
}

func helpFlag(to *bool) Flag { return Flag{To: to, Name: "help", Short: "h", Usage: "show help"} }

// read sets flags as the words say, or the environment, and returns what urfave made of them.
func read(flags []Flag, words []string) ([]urfave.Flag, error) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	made := make([]urfave.Flag, len(flags))
	for i := range flags {
		made[i] = flags[i].urfave()
		if err := made[i].Apply(set); err != nil {
			return nil, err
		}
	}
	if err := set.Parse(words); err != nil {
		return nil, err
	}
	for i := range flags {
		if to, ok := flags[i].To.(*[]string); ok {
			*to = made[i].(*urfave.StringSliceFlag).Destination.Value()
		}
	}
	return made, nil
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
	case *[]string: // of which read takes the value: urfave's slice is a type of its own
		return &urfave.StringSliceFlag{
			Name: f.Name, Aliases: short, Category: f.Category, EnvVars: env, Usage: f.Usage, Destination: new(urfave.StringSlice),
		}
	}
	panic(fmt.Sprintf("--%s: no flag can be a %T", f.Name, f.To))
}
