package command

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// writeManual writes the manual pages of a program into dir, which it makes: its own, and one for each command that is shown to people.
func writeManual(c *Command, dir string) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	pages := map[string]string{c.Name: c.ownPage()}
	for _, below := range c.listed() {
		pages[c.Name+"-"+below.Name] = below.page(c)
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		files = append(files, filepath.Join(dir, name+".1"))
		if err := os.WriteFile(files[len(files)-1], []byte(pages[name]), 0o644); err != nil {
			return files, err
		}
	}
	return files, nil
}

func (c *Command) ownPage() string {
	var b strings.Builder
	c.head(&b, c, c.Name)
	fmt.Fprint(&b, ".SH COMMANDS\n")
	for _, below := range c.listed() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(below.Name), roff(below.Usage))
	}
	statuses(&b)
	fmt.Fprint(&b, ".SH SEE ALSO\n")
	for i, below := range c.listed() {
		if i > 0 {
			fmt.Fprint(&b, ",\n")
		}
		fmt.Fprintf(&b, ".BR %s (1)", roff(c.Name+"-"+below.Name))
	}
	return b.String() + "\n"
}

func (c *Command) page(program *Command) string {
	var b strings.Builder
	c.head(&b, program, program.Name+"-"+c.Name)
	fmt.Fprint(&b, ".SH OPTIONS\n")
	category := ""
	for i := range c.Flags {
		f := &c.Flags[i]
		if f.Category != category {
			category = f.Category
			fmt.Fprintf(&b, ".SS %s\n", roff(strings.TrimSuffix(category, ":")))
		}
		f.manual(&b)
	}
	fmt.Fprint(&b, ".TP\n.B \\-\\-help\nshow help\n")
	statuses(&b)
	fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(program.Name))
	return b.String()
}

func (c *Command) head(b *strings.Builder, program *Command, name string) {
	fmt.Fprintf(b, ".\\\" Made from the flags of the program: %s man DIR\n", program.Name)
	fmt.Fprintf(b, ".TH %s 1 \"\" \"%s %s\"\n", strings.ToUpper(roff(name)), roff(program.Name), roff(program.Version))
	fmt.Fprintf(b, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.nf\n%s\n.fi\n", roff(name), roff(c.Usage), roff(c.UsageText))
	if c.Description == "" {
		return
	}
	fmt.Fprint(b, ".SH DESCRIPTION\n")
	literal := false
	for line := range strings.SplitSeq(c.Description, "\n") {
		indented := strings.HasPrefix(line, " ")
		switch {
		case line == "" && !literal:
			fmt.Fprint(b, ".PP\n")
			continue
		case indented && !literal:
			fmt.Fprint(b, ".PP\n.nf\n")
		case !indented && line != "" && literal:
			fmt.Fprint(b, ".fi\n.PP\n")
		}
		literal = indented || literal && line == ""
		fmt.Fprintln(b, roff(line))
	}
	if literal {
		fmt.Fprint(b, ".fi\n")
	}
}

func (f *Flag) manual(b *strings.Builder) {
	var names []string
	for _, word := range f.words() {
		names = append(names, `\fB`+roff(word)+`\fR`)
	}
	value, usage, standing := f.told()
	fmt.Fprintf(b, ".TP\n%s", strings.Join(names, ", "))
	if value != "" {
		fmt.Fprintf(b, ` \fI%s\fR`, roff(value))
	}
	fmt.Fprintf(b, "\n%s\n", roff(usage))
	if standing != "" {
		fmt.Fprintf(b, ".br\nDefault: %s\n", roff(standing))
	}
	if f.Env != "" {
		fmt.Fprintf(b, ".br\nEnvironment: %s\n", roff(f.Env))
	}
}

// told is what help says of a flag: the name of its value, none of a switch; what it does; what holds without it.
func (f *Flag) told() (value, usage, standing string) {
	before, behind, _ := strings.Cut(f.Usage, "`")
	named, behind, _ := strings.Cut(behind, "`")
	usage, standing = before+named+behind, f.Default
	if !f.takesValue() {
		return "", usage, standing
	}
	if held := reflect.ValueOf(f.To).Elem(); standing == "" && !held.IsZero() {
		standing = fmt.Sprint(held.Interface())
	}
	return cmp.Or(named, "VALUE"), usage, standing
}

func statuses(b *strings.Builder) {
	fmt.Fprintf(b, ".SH EXIT STATUS\n.TP\n.B %d\nit was done, or the answer is yes\n.TP\n.B %d\nit could not be done, or the answer is no\n"+
		".TP\n.B %d\nthe command line or the configuration is wrong\n", OK, Failed, Usage)
}

// roff is text that the manual's formatter shows as it is.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
