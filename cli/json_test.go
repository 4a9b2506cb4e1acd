package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/epitaph-mq/epitaph/cli/command"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// Every command that says something has --json, but those that docs/operations.md names.
func TestEveryCommandSpeaksJSON(t *testing.T) {
	without := []string{"cluster", "completion", "mqnamesrv"}
	for _, c := range (&program{}).app().Commands {
		has := slices.ContainsFunc(c.Flags, func(f command.Flag) bool { return f.Name == "json" })
		if !c.Hidden && has == slices.Contains(without, c.Name) {
			t.Errorf("%s: --json is there: %v", c.Name, has)
		}
	}
}

// What the commands about the program itself print for programs, wherever the flag stands.
func TestOwnCommandsAsJSON(t *testing.T) {
	dir := t.TempDir()
	kit.WriteFile(t, filepath.Join(dir, "mqnamesrv"), []byte("#!/bin/sh\n"))
	pages := filepath.Join(dir, "pages")
	var licenses []string
	var scripts []stoodIn
	var manual struct{ Files []string }
	var all, one struct {
		Name, Argument string
		Commands       []struct{ Name, Usage string }
		Flags          []struct{ Name, Short, Value, Usage, Default, Env string }
	}
	for _, c := range []struct {
		args []string
		into any
	}{
		{[]string{"licenses", "--json"}, &licenses}, {[]string{"--json", "licenses"}, &licenses},
		{[]string{"install-compat", dir, "--json"}, &scripts}, {[]string{"man", "--json", pages}, &manual},
		{[]string{"help", "--json"}, &all}, {[]string{"--json", "help", "serve"}, &one}, {[]string{"help", "serve", "--json"}, &one},
	} {
		status, out, errs := run(c.args...)
		if err := json.Unmarshal([]byte(out), c.into); status != command.OK || errs != "" || err != nil {
			t.Errorf("%v: status %d, %v: %.300s%s", c.args, status, err, out, errs)
		}
	}
	if len(scripts) != 2 || scripts[0].Path != filepath.Join(dir, "mqnamesrv") || scripts[0].Done == "" {
		t.Errorf("install-compat: %+v", scripts)
	}
	if len(manual.Files) != len(all.Commands)+1 {
		t.Errorf("%d pages for %d commands", len(manual.Files), len(all.Commands))
	}
	for _, file := range manual.Files {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	listen := one.Flags[slices.IndexFunc(one.Flags, func(f struct{ Name, Short, Value, Usage, Default, Env string }) bool { return f.Name == "listen" })]
	if one.Name != "serve" || listen.Value != "HOST:PORT" || listen.Default != "0.0.0.0:9876" || listen.Env != "EPITAPH_LISTEN" {
		t.Errorf("help serve: %+v", listen)
	}
	if status, _, errs := run("help", "--json", "serv"); status != command.Usage || errs == "" {
		t.Errorf("a command that is none: status %d: %s", status, errs)
	}
}
