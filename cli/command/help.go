package command

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	urfave "github.com/urfave/cli/v2"

	"github.com/epitaph-mq/epitaph/cli/screen"
)

// show writes the help page of the command at path, or of the program. made are its flags and behind them those that all have.
func (c *Command) show(w io.Writer, path string, made []urfave.Flag) {
	var whole strings.Builder
	page := tabwriter.NewWriter(&whole, 1, 8, 2, ' ', 0)
	fmt.Fprintf(page, "NAME:\n   %s - %s\n", path, c.Usage)
	part := func(heading, text string) {
		fmt.Fprintf(page, "\n%s:\n   %s\n", heading, strings.ReplaceAll(text, "\n", "\n   "))
	}
	part("USAGE", cmp.Or(c.UsageText, path))
	if c.Version != "" {
		part("VERSION", c.Version)
	}
	if c.Description != "" {
		part("DESCRIPTION", c.Description)
	}
	options := "OPTIONS"
	if listed := c.listed(); listed != nil {
		options = "GLOBAL OPTIONS"
		fmt.Fprint(page, "\nCOMMANDS:\n")
		width := len(slices.MaxFunc(c.names(), func(a, b string) int { return len(a) - len(b) }))
		for _, below := range listed {
			fmt.Fprintf(page, "   %-*s  %s\n", width, below.Name, below.Usage)
		}
	}
	fmt.Fprintf(page, "\n%s:\n", options)
	c.showFlags(page, made)
	_ = page.Flush()
	_, _ = io.WriteString(w, screen.Fold(whole.String())) // a closed terminal is nobody to tell
}

// showFlags writes them as they come, or by category and name, and then without those that all have.
func (c *Command) showFlags(page io.Writer, made []urfave.Flag) {
	by := map[string][]string{}
	for i := range c.Flags {
		by[c.Flags[i].Category] = append(by[c.Flags[i].Category], made[i].String())
	}
	if len(by) == 0 || len(by) == 1 && by[""] != nil {
		for _, f := range made {
			fmt.Fprintf(page, "   %s\n", f)
		}
		return
	}
	for _, category := range slices.Sorted(maps.Keys(by)) {
		if category != "" {
			fmt.Fprintf(page, "   %s\n\n", category)
		}
		for _, line := range slices.Sorted(slices.Values(by[category])) {
			fmt.Fprintf(page, "   %s\n", line)
		}
		fmt.Fprintln(page)
	}
}
