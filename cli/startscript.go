package cli

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// startScript is what RocketMQ's bin/runserver.sh would give to Java, as far as it can be told without running it: it
// starts other programs of RocketMQ too, so operators keep it, with the options that they wrote into it. Variables get
// their values in the order of the lines; what only a running shell can know is unknown.
type startScript struct {
	file, text string
	vars       map[string]string
	forms      shellForms

	java        []string // the words of the command that starts Java, up to its arguments
	found       bool     // there was such a command
	conditional []string // definitions that stand in a branch or a function, and count as if it were run
	unknown     []string // definitions whose value only a shell can know
}

// unknownText stands in values for what only a running shell can know.
const unknownText = "\x00"

// readStartScript reads the script below home; nil when there is none that can be read.
func (p *program) readStartScript(home string) *startScript {
	file := filepath.Join(home, "bin", "runserver.sh")
	text, err := optionFile(file)
	if err != nil || home == "" {
		return nil
	}
	s := &startScript{file: file, text: text, vars: map[string]string{}, forms: newShellForms()}
	for _, entry := range p.environ {
		name, value, _ := strings.Cut(entry, "=")
		s.vars[name] = value
	}
	s.vars["ROCKETMQ_HOME"] = home
	s.read()
	if !s.found {
		s.look(strings.Fields(s.vars["JAVA_OPT"]), false)
	}
	return s
}

// commandLine is what the script gives to Java: the options that RocketMQ's variables and its own lines put together.
func (p *program) commandLine(s *startScript) []string {
	if s == nil {
		return append(strings.Fields(p.env("JAVA_OPT")), strings.Fields(p.env("JAVA_OPT_EXT"))...)
	}
	return s.java
}

// warnings tell what of the script is taken, what is taken although it is not known whether it would be, and what is lost.
func (s *startScript) warnings(p *program) (all []warning) {
	var taken []string
	given := strings.Fields(p.env("JAVA_OPT") + " " + p.env("JAVA_OPT_EXT"))
	for _, word := range p.commandLine(s) {
		if isDefinition(word) && !slices.Contains(given, word) && !slices.Contains(s.unknown, word) {
			taken = append(taken, word)
		}
	}
	if len(taken) > 0 {
		all = append(all, warning{"options of RocketMQ's start script are taken", []any{"file", s.file, "options", taken}})
	}
	if len(s.conditional) > 0 {
		all = append(all, warning{"options of RocketMQ's start script stand in a branch or function, and are taken as if it were run",
			[]any{"file", s.file, "options", s.conditional}})
	}
	if len(s.unknown) > 0 {
		all = append(all, warning{"options of RocketMQ's start script have values that only a shell can know, and are lost; give them in JAVA_OPT_EXT",
			[]any{"file", s.file, "options", s.unknown}})
	}
	return all
}

// has says that the script has an option, such as those of heap and log that come with RocketMQ.
func (s *startScript) has(option string) bool {
	end := " =:"
	if strings.HasPrefix(option, "-XX:") {
		end = " ="
	}
	if i := strings.IndexAny(option, end); i > 0 {
		option = option[:i]
	}
	return strings.Contains(s.text, option)
}

// isDefinition says that a word sets a property that may matter to RocketMQ.
func isDefinition(word string) bool {
	return strings.HasPrefix(word, "-D") && !strings.HasPrefix(word, "-Djava.") && !strings.HasPrefix(word, "-Drmq.logback.")
}

// shellForms are the forms of a line that count. They are made when there is a script: most servers never need them.
type shellForms struct{ assigned, javaLine, separated, expanded *regexp.Regexp }

func newShellForms() shellForms {
	return shellForms{
		assigned:  regexp.MustCompile(`^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)(\+?=)(.*)$`),
		javaLine:  regexp.MustCompile(`^(?:exec[ \t]+|nohup[ \t]+)*(?:"?\$(?:JAVA|\{JAVA\})"?|"?[^ \t"]*/bin/java"?|java)[ \t]+(.*)$`),
		separated: regexp.MustCompile(`^.*?(?:&&|\|\||;|\bthen\b|\belse\b|\bdo\b|\))[ \t]*`), // a command behind another one
		expanded:  regexp.MustCompile(`^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::?-([^}]*))?\})`),
	}
}

func (s *startScript) read() {
	depth := 0
	for line := range strings.Lines(oneLineEach(strings.ReplaceAll(s.text, "\\\n", " "))) {
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n;", r) })
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		last := words[len(words)-1]
		switch {
		case words[0] == "if", words[0] == "case", words[0] == "for", words[0] == "while", words[0] == "until", last == "{":
			depth++
		}
		switch words[0] {
		case "for":
			s.vars[words[min(1, len(words)-1)]] = unknownText
		case ".", "source", "eval", "set":
			if words[0] != "set" || words[min(1, len(words)-1)] == "--" {
				s.lost(strings.Join(words, " ")) // who knows which options it sets
			}
		}
		s.command(strings.TrimSpace(line), depth > 0)
		switch last {
		case "fi", "esac", "done", "}":
			depth = max(0, depth-1)
		}
	}
}

// oneLineEach puts what stands between quotes on one line, as far as the quotes are closed.
func oneLineEach(text string) string {
	out, quote, comment := []byte(text), byte(0), false
	for i := 0; i < len(out); i++ {
		switch c := out[i]; {
		case c == '\n' && quote != 0:
			out[i] = ' '
		case c == '\n':
			comment = false
		case comment, c == '\\' && quote != '\'':
			if !comment {
				i++
			}
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && c == '#' && (i == 0 || strings.IndexByte(" \t\n;", out[i-1]) >= 0):
			comment = true
		}
	}
	if quote != 0 {
		return text
	}
	return string(out)
}

// command reads one line; conditional says that it need not be run.
func (s *startScript) command(line string, conditional bool) {
	if m := s.forms.javaLine.FindStringSubmatch(line); m != nil {
		words := s.words(m[1])
		s.java, s.found = words, true
		s.look(words, conditional)
		return
	}
	m := s.forms.assigned.FindStringSubmatch(line)
	if m == nil {
		if behind := s.forms.separated.FindString(line); behind != "" && len(behind) < len(line) {
			s.command(line[len(behind):], true)
		}
		return
	}
	name, before := m[1], s.vars[m[1]]
	value, rest := s.word(m[3])
	if m[2] == "+=" {
		value = before + value
	}
	s.vars[name] = value
	if conditional {
		old := strings.Fields(before)
		for _, word := range strings.Fields(value) {
			if isDefinition(word) && !slices.Contains(old, word) && !strings.Contains(word, unknownText) {
				s.conditional = append(s.conditional, word)
			}
		}
	}
	if behind := strings.TrimLeft(rest, " \t;&|"); behind != "" && behind[0] != '#' {
		s.command(behind, conditional || strings.HasPrefix(strings.TrimLeft(rest, " \t"), "||"))
	}
}

// look sorts out the words of the command that starts Java.
func (s *startScript) look(words []string, conditional bool) {
	s.java = nil
	for i, word := range words {
		switch {
		case !strings.Contains(word, unknownText):
			s.java = append(s.java, word)
			if conditional && isDefinition(word) && !slices.Contains(s.conditional, word) {
				s.conditional = append(s.conditional, word)
			}
		case isDefinition(word), strings.HasPrefix(word, unknownText) && (i == 0 || !takesNextWord(words[i-1])):
			s.lost(strings.ReplaceAll(word, unknownText, "?"))
		}
	}
}

func (s *startScript) lost(what string) { s.unknown = append(s.unknown, what) }

// words are those of a command, up to the arguments of the script.
func (s *startScript) words(text string) (words []string) {
	for {
		text = strings.TrimLeft(text, " \t")
		if text == "" || strings.IndexByte("#;&|<>", text[0]) >= 0 || strings.HasPrefix(text, "$@") || strings.HasPrefix(text, `"$@`) ||
			strings.HasPrefix(text, "$*") || strings.HasPrefix(text, `"$*`) {
			return words
		}
		quoted := strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "'")
		value, rest := s.word(text)
		if quoted {
			words = append(words, value)
		} else { // the value of a variable is split at its blanks
			words = append(words, strings.Fields(value)...)
		}
		text = rest
	}
}

// word reads one word of a shell, with the values of variables in their place.
func (s *startScript) word(text string) (value, rest string) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
			i++
		case c == '\'' && !quoted:
			end := strings.IndexByte(text[i+1:], '\'')
			if end < 0 {
				return b.String(), ""
			}
			b.WriteString(text[i+1 : i+1+end])
			i += end + 2
		case c == '\\' && i+1 < len(text):
			b.WriteByte(text[i+1])
			i += 2
		case c == '$':
			value, n := s.expansion(text[i:])
			b.WriteString(value)
			i += n
		case c == '`':
			b.WriteString(unknownText)
			end := strings.IndexByte(text[i+1:], '`')
			if end < 0 {
				return b.String(), ""
			}
			i += end + 2
		case !quoted && strings.IndexByte(" \t;&|", c) >= 0:
			return b.String(), text[i:]
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), ""
}

// expansion is the value of what begins with a dollar sign, and how many bytes that has.
func (s *startScript) expansion(text string) (value string, n int) {
	if m := s.forms.expanded.FindStringSubmatch(text); m != nil {
		value = s.vars[m[1]+m[2]]
		if value == "" && m[3] != "" {
			value, _ = s.word(`"` + m[3] + `"`)
		}
		return value, len(m[0])
	}
	if !strings.HasPrefix(text, "$(") {
		return unknownText, min(2, len(text))
	}
	depth := 0
	for i, c := range text {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s.output(text[2:i]), i + 1
			}
		}
	}
	return unknownText, len(text)
}

// output is what a command in the script prints, where that is known: the directory of the script.
func (s *startScript) output(command string) string {
	if strings.ReplaceAll(strings.TrimSpace(command), `"`, "") == "dirname $0" {
		return filepath.Dir(s.file)
	}
	return unknownText
}
