package command

import (
	"fmt"
	"slices"
	"strings"
)

// completions write the script of a shell from the commands and flags that there are: nothing runs when a key is pressed.
var completions = map[string]func(c *Command) string{"bash": bash, "zsh": zsh, "fish": fish}

// listed are the commands that are shown to people.
func (c *Command) listed() (all []*Command) {
	for _, below := range c.Commands {
		if !below.Hidden {
			all = append(all, below)
		}
	}
	return all
}

// choices are the words that a command takes as its argument, where they are known.
func (c *Command) choices(program *Command) []string {
	switch c.Name {
	case "help":
		return program.names()
	case "completion":
		return []string{"bash", "fish", "zsh"}
	}
	return nil
}

// file says that the value is the name of a file or directory.
func (f *Flag) file() bool {
	_, behind, _ := strings.Cut(f.Usage, "`")
	value, _, _ := strings.Cut(behind, "`")
	return value == "FILE" || value == "DIR" || value == "PATH"
}

// brief is the first part of its help, on one line.
func (f *Flag) brief() string {
	text, _, _ := strings.Cut(strings.ReplaceAll(f.Usage, "`", ""), ";")
	return text
}

func (f *Flag) words() []string {
	if f.Short == "" {
		return []string{"--" + f.Name}
	}
	return []string{"--" + f.Name, "-" + f.Short}
}

func bash(c *Command) string {
	var files, values, cases []string
	for _, below := range c.listed() {
		var words []string
		for i := range below.Flags {
			f := &below.Flags[i]
			words = append(words, f.words()...)
			switch {
			case !f.takesValue():
			case f.file():
				files = append(files, f.words()...)
			default:
				values = append(values, f.words()...)
			}
		}
		words = append(append(words, below.choices(c)...), "--help")
		cases = append(cases, fmt.Sprintf("    %s) words=%q ;;", below.Name, strings.Join(words, " ")))
	}
	pattern := func(words []string) string {
		slices.Sort(words)
		return strings.Join(slices.Compact(words), "|")
	}
	return fmt.Sprintf(`# bash completion of %[1]s: source <(%[1]s completion bash)
_%[2]s() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= words= i
  COMPREPLY=()
  case $before in
    %[3]s)
      compopt -o filenames 2>/dev/null
      while IFS= read -r i; do COMPREPLY+=("$i"); done < <(compgen -f -- "$current")
      return ;;
    %[4]s) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case " %[5]s " in
      *" ${COMP_WORDS[i]} "*) command=${COMP_WORDS[i]}; break ;;
    esac
  done
  case $command in
    "") words="%[5]s --help --version" ;;
%[6]s
  esac
  while IFS= read -r i; do COMPREPLY+=("$i"); done < <(compgen -W "$words" -- "$current")
}
complete -F _%[2]s %[1]s
`, c.Name, strings.ReplaceAll(c.Name, "-", "_"), pattern(files), pattern(values), strings.Join(c.names(), " "), strings.Join(cases, "\n"))
}

func zsh(c *Command) string {
	plain := strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`, `\`, `\\`)
	var commands, cases strings.Builder
	for _, below := range c.listed() {
		fmt.Fprintf(&commands, "    '%s:%s'\n", below.Name, plain.Replace(below.Usage))
		fmt.Fprintf(&cases, "    %s) _arguments", below.Name)
		for i := range below.Flags {
			f := &below.Flags[i]
			value := ""
			switch {
			case f.takesValue() && f.file():
				value = ":file:_files"
			case f.takesValue():
				value = ":value:"
			}
			for _, word := range f.words() {
				if strings.HasPrefix(word, "--") && value != "" {
					word += "="
				}
				fmt.Fprintf(&cases, " \\\n      '%s[%s]%s'", word, plain.Replace(f.brief()), value)
			}
		}
		fmt.Fprint(&cases, " \\\n      '--help[show help]'")
		if words := below.choices(c); words != nil {
			fmt.Fprintf(&cases, " \\\n      '1:word:(%s)'", strings.Join(words, " "))
		}
		fmt.Fprintln(&cases, " ;;")
	}
	return fmt.Sprintf(`#compdef %[1]s
_%[2]s() {
  local -a commands
  commands=(
%[3]s  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
%[4]s  esac
}
if [ "$funcstack[1]" = "_%[2]s" ]; then
  _%[2]s "$@"
else
  compdef _%[2]s %[1]s
fi
`, c.Name, strings.ReplaceAll(c.Name, "-", "_"), commands.String(), cases.String())
}

func fish(c *Command) string {
	quoted := func(text string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'" }
	var b strings.Builder
	fmt.Fprintf(&b, "complete -c %s -f\n", c.Name)
	for _, below := range c.listed() {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -a %s -d %s\n", c.Name, below.Name, quoted(below.Usage))
		in := fmt.Sprintf("complete -c %s -n '__fish_seen_subcommand_from %s'", c.Name, below.Name)
		for i := range below.Flags {
			f := &below.Flags[i]
			line := in + " -l " + f.Name
			if f.Short != "" {
				line += " -s " + f.Short
			}
			switch {
			case f.takesValue() && f.file():
				line += " -r -F"
			case f.takesValue():
				line += " -x"
			}
			fmt.Fprintln(&b, line+" -d "+quoted(f.brief()))
		}
		if words := below.choices(c); words != nil {
			fmt.Fprintf(&b, "%s -a %s\n", in, quoted(strings.Join(words, " ")))
		}
	}
	return b.String()
}
