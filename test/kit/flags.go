package kit

import (
	"reflect"
	"strings"

	"github.com/epitaph-mq/epitaph/cli/command"
)

// Flags lists the commands of a program and their flags, with type and variable, for a golden list.
func Flags(program *command.Command) (lines []string) {
	kinds := strings.NewReplacer("[]string", "stringslice", "time.Duration", "duration")
	for _, c := range program.Commands {
		if c.Hidden {
			continue
		}
		path := program.Name + " " + c.Name
		lines = append(lines, path)
		for _, f := range c.Flags {
			line := path + " --" + f.Name
			if f.Short != "" {
				line += ", -" + f.Short
			}
			lines = append(lines, strings.TrimSpace(line+" "+kinds.Replace(reflect.TypeOf(f.To).Elem().String())+" "+f.Env))
		}
	}
	return lines
}
