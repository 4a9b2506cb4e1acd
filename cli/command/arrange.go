package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/nearest"
)

// arranged finds the command that a command line names, nil if none, and parts its flags from its arguments. Flags may stand
// anywhere, also in front of the command; behind "--" there are none. args[0] is the program.
func (c *Command) arranged(args []string) (below *Command, flags, arguments []string, err error) {
	if len(args) == 0 {
		return nil, nil, nil, nil
	}
	at := c.commandAt(args)
	if at < 0 {
		return nil, args[1:], nil, c.checkOwn(args[1:])
	}
	if below = c.named(args[at]); below == nil { // perhaps the value of a flag that is mistyped
		if err := c.checkFlags(args[1:at]); err != nil {
			return nil, nil, nil, err
		}
		return nil, nil, nil, wrong(fmt.Errorf("there is no command %q%s", args[at], didYouMean(args[at], c.names(), "")), c.Name)
	}
	words := slices.Concat(args[1:at], args[at+1:])
	if below.Raw {
		return below, nil, words, nil
	}
	flags, arguments, err = below.sorted(words, c.Name+" "+below.Name)
	return below, flags, arguments, err
}

// commandAt is where the command stands: at the first word that is neither a flag nor its value, or behind "--". -1: nowhere.
func (c *Command) commandAt(args []string) int {
	for i := 1; i < len(args); i++ {
		name, joined := flagWord(args[i])
		switch {
		case args[i] == "--":
		case name == "":
			return i
		case !joined && c.takesValue(name):
			i++
		}
	}
	return -1
}

// checkOwn tells of a flag that nobody has on a command line without a command.
func (c *Command) checkOwn(words []string) error {
	for _, word := range words {
		name, _ := flagWord(word)
		switch {
		case name == "", name == "help", name == "h", c.Version != "" && (name == "version" || name == "v"):
		case c.belongsToCommand(name):
			return wrong(fmt.Errorf("%s belongs to a command, and none is named", word), c.Name)
		default:
			return c.noFlag(word, name)
		}
	}
	return nil
}

// checkFlags tells of a flag in front of the command that no command has.
func (c *Command) checkFlags(words []string) error {
	for _, word := range words {
		if name, _ := flagWord(word); name != "" && !c.belongsToCommand(name) {
			return c.noFlag(word, name)
		}
	}
	return nil
}

func (c *Command) noFlag(word, name string) error {
	known := []string{"help", "version"}
	for _, below := range c.Commands {
		for i := range below.Flags {
			known = append(known, below.Flags[i].Name)
		}
	}
	return wrong(fmt.Errorf("there is no flag %s%s", word, didYouMean(name, known, "--")), c.Name)
}

// takesValue says that a flag of that name wants a value, whatever the command: one name has one type.
func (c *Command) takesValue(name string) bool {
	for _, below := range c.Commands {
		if f := below.flag(name); f != nil {
			return f.takesValue()
		}
	}
	return false
}

func (c *Command) belongsToCommand(name string) bool {
	return slices.ContainsFunc(c.Commands, func(below *Command) bool { return below.flag(name) != nil })
}

func (c *Command) named(name string) *Command {
	for _, below := range c.Commands {
		if below.Name == name {
			return below
		}
	}
	return nil
}

// names are those of the commands that help lists.
func (c *Command) names() (all []string) {
	for _, below := range c.listed() {
		all = append(all, below.Name)
	}
	return all
}

func (c *Command) flag(name string) *Flag {
	for i := range c.Flags {
		if f := &c.Flags[i]; f.Name == name || f.Short != "" && f.Short == name {
			return f
		}
	}
	return nil
}

func (f *Flag) takesValue() bool {
	_, is := f.To.(*bool)
	return !is
}

// sorted parts flags, with their values, from arguments.
func (c *Command) sorted(words []string, path string) (flags, arguments []string, err error) {
	forms := map[*Flag]string{} // under which name each was given
	for i := 0; i < len(words); i++ {
		word := words[i]
		if word == "--" {
			return flags, append(arguments, words[i+1:]...), nil
		}
		name, joined := flagWord(word)
		if name == "" {
			arguments = append(arguments, word)
			continue
		}
		flags = append(flags, word)
		f := c.flag(name)
		if f == nil {
			if name == "help" || name == "h" {
				continue
			}
			var known []string
			for i := range c.Flags {
				known = append(known, c.Flags[i].Name)
			}
			return nil, nil, wrong(fmt.Errorf("%s has no flag %s%s", c.Name, word, didYouMean(name, known, "--")), path)
		}
		if form := forms[f]; form != "" && form != name {
			return nil, nil, wrong(fmt.Errorf("--%s and -%s are one flag: give it once", f.Name, f.Short), path)
		}
		forms[f] = name
		if f.Given != nil {
			*f.Given = true
		}
		if f.takesValue() && !joined {
			if i++; i == len(words) {
				return nil, nil, wrong(fmt.Errorf("%s wants a value", word), path)
			}
			flags = append(flags, words[i])
		}
	}
	return flags, arguments, nil
}

// flagWord takes a word apart: --name=value, --name, -n. Its name is empty when it is no flag.
func flagWord(word string) (name string, joined bool) {
	if len(word) < 2 || word[0] != '-' || word == "--" {
		return "", false
	}
	name, _, joined = strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
	return name, joined
}

// didYouMean proposes the name that is near to what was written.
func didYouMean(written string, names []string, prefix string) string {
	if name := nearest.Name(written, names); name != "" {
		return "; did you mean " + prefix + name + "?"
	}
	return ""
}
