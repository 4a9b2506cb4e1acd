package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxOptionFileBytes is far beyond any real file of options.
const maxOptionFileBytes = 1 << 20

// javaOptions are the options of a Java machine's start, in the order in which they were given: the later wins.
type javaOptions struct {
	properties map[string]string // -Dname=value
	ignored    []string          // what has no meaning without a Java machine
}

// javaFault says, in the words of Java, why it does not start with such options.
type javaFault struct{ text string }

func (f *javaFault) Error() string { return f.text }

const noMachine = "\nError: Could not create the Java Virtual Machine.\nError: A fatal exception has occurred. Program will exit."

// javaOptions takes what the Java machine of a NameServer would have been given: by the variables that it reads itself,
// two before the command line and one behind it, and by the command line, which is that of RocketMQ's start script.
func (p *program) javaOptions(commandLine []string) (*javaOptions, error) {
	o := &javaOptions{properties: map[string]string{}}
	if err := o.machineVariable("JAVA_TOOL_OPTIONS", p.env("JAVA_TOOL_OPTIONS")); err != nil {
		return nil, err
	}
	if err := o.launcherVariable("JDK_JAVA_OPTIONS", p.env("JDK_JAVA_OPTIONS")); err != nil {
		return nil, err
	}
	words, err := withArgumentFiles(commandLine)
	if err != nil {
		return nil, err
	}
	if err := o.take(words, false); err != nil {
		return nil, err
	}
	return o, o.machineVariable("_JAVA_OPTIONS", p.env("_JAVA_OPTIONS"))
}

// machineVariable takes what libjvm reads, launcherVariable what the program java reads, which knows files of arguments.
func (o *javaOptions) machineVariable(name, text string) error {
	words, ok := quotedWords(text)
	if !ok {
		return &javaFault{"Unmatched quote in " + name + noMachine}
	}
	for _, word := range words {
		if !strings.HasPrefix(word, "-") {
			return &javaFault{"Unrecognized option: " + word + noMachine}
		}
	}
	return o.take(words, false)
}

func (o *javaOptions) launcherVariable(name, text string) error {
	words, ok := quotedWords(text)
	if !ok {
		return &javaFault{"Error: Unmatched quote in environment variable " + name}
	}
	words, err := withArgumentFiles(words)
	if err != nil {
		return err
	}
	for i, word := range words {
		if !strings.HasPrefix(word, "-") && (i == 0 || !takesNextWord(words[i-1])) {
			return &javaFault{"Error: Cannot specify main class in environment variable " + name}
		}
	}
	return o.take(words, false)
}

// take reads words in their order; inFile says that they stand in a file of options.
func (o *javaOptions) take(words []string, inFile bool) error {
	for i := 0; i < len(words); i++ {
		word := words[i]
		if definition, ok := strings.CutPrefix(word, "-D"); ok {
			key, value, _ := strings.Cut(definition, "=")
			o.properties[key] = value
			continue
		}
		if name, ok := strings.CutPrefix(word, "-XX:VMOptionsFile="); ok {
			if err := o.takeFile(name, inFile); err != nil {
				return err
			}
			continue
		}
		if takesNextWord(word) && i+1 < len(words) {
			i++
			word += " " + words[i]
		}
		o.ignored = append(o.ignored, word)
	}
	return nil
}

func (o *javaOptions) takeFile(name string, inFile bool) error {
	if inFile {
		return &javaFault{"A VM options file may not refer to a VM options file." + noMachine}
	}
	text, err := optionFile(name)
	if err != nil {
		return &javaFault{fmt.Sprintf("Could not open options file '%s'", name) + noMachine}
	}
	words, ok := quotedWords(text)
	if !ok {
		return &javaFault{"Unmatched quote in " + name + noMachine}
	}
	return o.take(words, true)
}

// takesNextWord says that the value of an option of the program java is the word behind it.
func takesNextWord(option string) bool {
	switch option {
	case "-cp", "-classpath", "--class-path", "-p", "--module-path", "--upgrade-module-path", "--add-modules", "--limit-modules",
		"--add-exports", "--add-opens", "--add-reads", "--patch-module", "--enable-native-access":
		return true
	}
	return false
}

// quotedWords splits text at blanks as a Java machine splits its variables: quotes of both kinds hold a word together,
// wherever in it they stand, and fall away; nothing is escaped. It is not ok when a quote is not closed.
func quotedWords(text string) (words []string, ok bool) {
	var word strings.Builder
	var quote rune
	inWord := false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, inWord = r, true
		case strings.ContainsRune(" \t\n\r\v\f", r):
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, quote == 0
}

// withArgumentFiles puts what the files hold in the place of words such as @FILE; @@ is a word that begins with @.
func withArgumentFiles(words []string) (all []string, err error) {
	for _, word := range words {
		file, ok := strings.CutPrefix(word, "@")
		switch {
		case !ok || file == "":
			all = append(all, word)
		case strings.HasPrefix(file, "@"):
			all = append(all, file)
		default:
			text, err := optionFile(file)
			if err != nil {
				return nil, &javaFault{fmt.Sprintf("Error: could not open `%s'", file)}
			}
			all = append(all, fileWords(text)...)
		}
	}
	return all, nil
}

func optionFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxOptionFileBytes+1))
	if err == nil && len(text) > maxOptionFileBytes {
		err = fmt.Errorf("larger than %d bytes", maxOptionFileBytes)
	}
	return string(text), err
}

// fileWords splits a file of arguments as the program java does: beside what quotedWords knows there are comments, and
// inside quotes a backslash, which before the end of a line joins it with the next. A quote ends with its line.
func fileWords(text string) (words []string) {
	var word strings.Builder
	var quote byte
	inWord := false
	end := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord, quote = false, 0
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' || c == '\r', quote == 0 && strings.IndexByte(" \t\f", c) >= 0:
			end()
		case quote == 0 && c == '#':
			inWord = false // Java loses what stands before it, too
			end()
			for i+1 < len(text) && text[i+1] != '\n' && text[i+1] != '\r' {
				i++
			}
		case quote != 0 && c == '\\' && i+1 < len(text):
			i++
			i += appendEscaped(&word, text[i:])
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, inWord = c, true
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	end()
	return words
}

// appendEscaped writes what the escape that text begins with stands for, and returns how many more bytes it has.
func appendEscaped(word *strings.Builder, text string) (more int) {
	switch c := text[0]; c {
	case '\n', '\r':
		rest := strings.TrimLeft(text, " \t\n\r\f")
		return len(text) - len(rest) - 1
	case 'n':
		word.WriteByte('\n')
	case 'r':
		word.WriteByte('\r')
	case 't':
		word.WriteByte('\t')
	case 'f':
		word.WriteByte('\f')
	default:
		word.WriteByte(c)
	}
	return 0
}
