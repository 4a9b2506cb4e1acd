package kit

import (
	"reflect"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// Flags are the commands of a program and their flags, one line each, with type and variable.
func Flags(program string, commands []*urfave.Command) (lines []string) {
	for _, c := range commands {
		path := program + " " + c.Name
		lines = append(lines, path)
		for _, f := range c.Flags {
			kind := strings.ToLower(strings.TrimSuffix(reflect.TypeOf(f).Elem().Name(), "Flag"))
			line := path + " --" + strings.Join(f.Names(), ", -") + " " + kind
			if doc, ok := f.(urfave.DocGenerationFlag); ok {
				line += " " + strings.Join(doc.GetEnvVars(), " ")
			}
			lines = append(lines, strings.TrimSpace(line))
		}
		lines = append(lines, Flags(path, c.Subcommands)...)
	}
	return lines
}
